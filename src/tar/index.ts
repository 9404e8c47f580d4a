export type { DataExtent, TarEntry, TarEntryType, Xattr } from "./entry.ts";
export { DEFAULT_TAR_LIMITS, type TarLimits } from "./limits.ts";
export { type ReadAt, type TarMember, tarMembers } from "./members.ts";
export { type TarHandler, TarReader } from "./reader.ts";
export { TarWriter, type TarWriterOptions } from "./writer.ts";
