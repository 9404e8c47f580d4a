/** Gives inodes of a tree what an entry of a layer says of them. */
import { type FileTree, NONE } from "../../erofs/index.ts";
import * as linux from "../../linux/index.ts";
import type { Xattr } from "../../tar/index.ts";
import { ENTRY, type IndexEntries } from "./index-entries.ts";

const LINK_MODE = 0o777;
const BARE_MODE = 0o755;

export class InodeWriter {
	readonly #tree: FileTree;
	readonly #firstDevice: number;
	readonly #xattrSets: readonly (readonly Xattr[])[];
	/** By set of the layer: the tree's id. */
	readonly #xattrIds: number[] = [];

	/** `firstDevice` is layer.tar's number in the image's device table; `xattrSets` are the layer's, and may grow. */
	constructor(tree: FileTree, firstDevice: number, xattrSets: readonly (readonly Xattr[])[]) {
		this.#tree = tree;
		this.#firstDevice = firstDevice;
		this.#xattrSets = xattrSets;
	}

	/** `start` is where the entry's path begins. */
	write(inode: number, entries: IndexEntries, entry: number, start: number): void {
		const { inodes } = this.#tree;
		const kind = entries.kind(entry);
		inodes.setMode(inode, formatOf(kind) | (kind === ENTRY.symlink ? LINK_MODE : entries.mode(entry)));
		inodes.setOwner(inode, entries.uid(entry), entries.gid(entry));
		inodes.setMtime(inode, entries.mtimeSeconds(entry), entries.mtimeNanoseconds(entry));
		inodes.setXattrs(inode, this.#xattrs(entries.xattrs(entry)));
		switch (kind) {
			case ENTRY.file:
			case ENTRY.sparseFile: {
				const sizeBytes = entries.sizeBytes(entry);
				const device = this.#firstDevice + (kind === ENTRY.file ? 0 : 1);
				if (sizeBytes > 0) inodes.setContent(inode, sizeBytes, device, entries.place(entry));
				break;
			}
			case ENTRY.symlink: {
				const target = start + entries.pathLength(entry);
				const id = inodes.addTarget(entries.text, target, target + entries.targetLength(entry));
				inodes.setTarget(inode, id);
				break;
			}
			case ENTRY.character:
			case ENTRY.block:
				inodes.setRdev(inode, entries.place(entry));
		}
	}

	/** Makes it a directory of which neither an entry nor a lower layer says anything. */
	writeBare(inode: number): void {
		const { inodes } = this.#tree;
		inodes.setMode(inode, linux.S_IFDIR | BARE_MODE);
		inodes.setOwner(inode, 0, 0);
		inodes.setMtime(inode, 0, 0);
		inodes.setXattrs(inode, NONE);
	}

	#xattrs(set: number): number {
		if (set === 0) return NONE;
		const id = this.#xattrIds[set] ?? this.#tree.internXattrs(this.#xattrSets[set - 1] ?? []);
		this.#xattrIds[set] = id;
		return id;
	}
}

/** The format bits of what an entry of that kind makes. */
function formatOf(kind: number): number {
	switch (kind) {
		case ENTRY.directory:
			return linux.S_IFDIR;
		case ENTRY.symlink:
			return linux.S_IFLNK;
		case ENTRY.character:
			return linux.S_IFCHR;
		case ENTRY.block:
			return linux.S_IFBLK;
		case ENTRY.fifo:
			return linux.S_IFIFO;
		default:
			return linux.S_IFREG;
	}
}
