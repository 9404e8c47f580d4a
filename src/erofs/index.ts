/** EROFS metadata images: a tree of files in columns, its image, and the image read back. Entries in, bytes out. */

export { FileTree } from "./file-tree.ts";
export { imageHeadBytes, readDevices } from "./image-head.ts";
export { encodeDevice, type InodeTable, NONE } from "./inode-table.ts";
export { type ImageEntry, readImage, verifyImage } from "./read-image.ts";
export type { ImageInode } from "./read-inode.ts";
export { type ImageDevice, type ImageOptions, writeImage } from "./write-image.ts";
export type { Xattr } from "./xattr-sets.ts";
