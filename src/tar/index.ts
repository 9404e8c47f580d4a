export type { DataExtent, TarEntry, TarEntryType, Xattr } from "./entry.ts";
