export type { DataExtent, TarEntry, TarEntryType, Xattr } from "./entry.ts";
export type { TarLimits } from "./limits.ts";
export { type TarMember, tarMembers } from "./members.ts";
export { type TarHandler, TarReader } from "./reader.ts";
export { TarWriter } from "./writer.ts";
