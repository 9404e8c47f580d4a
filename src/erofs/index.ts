/** EROFS metadata images: a tree of files in columns, its image, and the image read back. Entries in, bytes out. */

export { FileTree } from "./file-tree.ts";
export { encodeDevice, type InodeTable, NONE } from "./inode-table.ts";
export type { Xattr } from "./xattr-sets.ts";
