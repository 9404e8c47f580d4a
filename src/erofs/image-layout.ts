/**
 * Owns where everything lies in an image. After the superblock and the device table: the root's inode, and then for
 * each directory, in the order of a walk, its blocks of names followed by the inodes of what is in it. So `find` and
 * `stat` read an image from front to back. Shared xattrs are at the end.
 *
 * What is small lies behind its inode (a symbolic link's target, the last part of a directory), but never across the
 * end of a block. Where that leaves a gap, the next inodes that fit fill it.
 */
import { LamellaError } from "../errors/index.ts";
import { type DirectoryOrder, DOT_DOT } from "./directory-order.ts";
import type { FileTree } from "./file-tree.ts";
import {
	BLOCK_BYTES,
	COMPACT_INODE,
	DEVICE_SLOT,
	DEVICE_TABLE_OFFSET,
	EXTENDED_INODE,
	NID_BYTES,
	TARGET_BYTES_MAX,
} from "./format.ts";
import { NONE, S_IFDIR, S_IFLNK, S_IFMT } from "./inode-table.ts";
import { XattrBodies } from "./xattr-bodies.ts";

const U16_MAX = 0xffff;
const U32_MAX = 0xffffffff;
/** An image is made in memory. */
const IMAGE_BYTES_MAX = 2 ** 32 - BLOCK_BYTES;

export class ImageLayout {
	/** By inode: its number in the image; 0 is none. */
	readonly nid: Uint32Array;
	/** By inode: the first block of a directory or symbolic link that does not lie behind its inode as a whole. */
	readonly block: Uint32Array;
	readonly xattrs: XattrBodies;
	/** The mtime that compact inodes have. */
	readonly epochSeconds: number;
	readonly epochNanoseconds: number;
	placedInodes = 0;
	xattrBlock = 0;
	blocks = 0;

	readonly #tree: FileTree;
	readonly #order: DirectoryOrder;
	#at: number;
	#gap = 0;
	#gapEnd = 0;

	/** @throws {LamellaError} `ENOTSUPPORTED`, `EXATTR` or `EINVALID`, naming the path, for what an image cannot hold */
	constructor(tree: FileTree, order: DirectoryOrder, deviceCount: number) {
		this.#tree = tree;
		this.#order = order;
		this.nid = new Uint32Array(tree.inodeCount);
		this.block = new Uint32Array(tree.inodeCount);
		this.xattrs = new XattrBodies(tree.xattrSets, countUses(tree));
		const epochInode = commonMtime(tree);
		this.epochSeconds = tree.inodes.mtimeSecondsOf(epochInode);
		this.epochNanoseconds = tree.inodes.mtimeNanosecondsOf(epochInode);
		this.#at = DEVICE_TABLE_OFFSET + DEVICE_SLOT.bytes * deviceCount;
		this.#placeEntry(tree.root);
		for (let number = 0; number < order.count; number++) {
			this.#placeDirectoryBlocks(number);
			this.#placeChildren(number);
		}
		this.#startBlock();
		if (this.xattrs.sharedBytes > 0) this.xattrBlock = this.#at / BLOCK_BYTES;
		this.#advance(this.xattrs.sharedBytes);
		this.#startBlock();
		this.blocks = this.#at / BLOCK_BYTES;
	}

	/** Whether 32 bytes can say everything of the inode. */
	isCompact(inode: number, links: number): boolean {
		const { inodes } = this.#tree;
		return (
			inodes.mtimeSecondsOf(inode) === this.epochSeconds &&
			inodes.mtimeNanosecondsOf(inode) === this.epochNanoseconds &&
			inodes.uidOf(inode) <= U16_MAX &&
			inodes.gidOf(inode) <= U16_MAX &&
			inodes.sizeBytesOf(inode) <= U32_MAX &&
			links <= U16_MAX
		);
	}

	/** A directory has its own name, `.`, and the `..` of each directory in it. */
	linksOf(entry: number): number {
		if (!this.#tree.isDirectory(entry)) return this.#tree.linksOf(this.#tree.inodeOf(entry));
		return 2 + (this.#order.subdirectories[this.#order.numberOf[entry] ?? 0] ?? 0);
	}

	/** Bytes of a directory's or a symbolic link's own content; 0 for everything else. */
	contentBytes(entry: number): number {
		const { inodes } = this.#tree;
		const inode = this.#tree.inodeOf(entry);
		const type = inodes.modeOf(inode) & S_IFMT;
		if (type === S_IFDIR) return this.#order.sizeBytes[this.#order.numberOf[entry] ?? 0] ?? 0;
		return type === S_IFLNK ? inodes.targetLength(inodes.targetOf(inode)) : 0;
	}

	/** Bytes of the inode and its xattrs. */
	headBytes(entry: number): number {
		const inode = this.#tree.inodeOf(entry);
		const bytes = this.isCompact(inode, this.linksOf(entry)) ? COMPACT_INODE.bytes : EXTENDED_INODE.bytes;
		const set = this.#tree.inodes.xattrsOf(inode);
		return set === NONE ? bytes : bytes + this.xattrs.get(set, () => this.#tree.pathOf(entry)).length;
	}

	/** How much of its content lies behind the inode: what does not fill a block, if that fits a block with the inode. */
	inlineBytes(entry: number, headBytes: number): number {
		const content = this.contentBytes(entry);
		const isLink = !this.#tree.isDirectory(entry);
		const tail = isLink ? content : content % BLOCK_BYTES;
		return headBytes + tail <= BLOCK_BYTES ? tail : 0;
	}

	#placeEntry(entry: number): void {
		const tree = this.#tree;
		const inode = tree.inodeOf(entry);
		// A further name of an inode.
		if (this.nid[inode] !== 0) return;
		this.placedInodes++;
		const head = this.headBytes(entry);
		const inline = this.inlineBytes(entry, head);
		const offset = this.#place(head, inline);
		this.nid[inode] = offset / NID_BYTES;
		if (entry === tree.root && offset / NID_BYTES > U16_MAX) {
			throw new LamellaError(
				"ENOTSUPPORTED",
				"the image has so many devices that its root directory lies too far behind",
			);
		}
		if ((tree.inodes.modeOf(inode) & S_IFMT) === S_IFLNK) this.#placeTarget(entry, inline);
	}

	#placeChildren(directory: number): void {
		const { end, entries, start } = this.#order;
		for (let at = start[directory] ?? 0, last = end[directory] ?? 0; at < last; at++) {
			const entry = entries[at] ?? 0;
			if (entry < DOT_DOT) this.#placeEntry(entry);
		}
	}

	#placeTarget(entry: number, inline: number): void {
		const content = this.contentBytes(entry);
		if (content === 0 || content > TARGET_BYTES_MAX) {
			const path = this.#tree.pathOf(entry);
			const code = content === 0 ? "EINVALID" : "ENOTSUPPORTED";
			throw new LamellaError(
				code,
				`symbolic link "${path}" has a target of ${content} bytes; it is 1 to 4095`,
				{ path },
			);
		}
		if (inline === 0) this.#placeBlocks(this.#tree.inodeOf(entry), content);
	}

	#placeDirectoryBlocks(number: number): void {
		const entry = this.#order.entry[number] ?? 0;
		const bytes = this.contentBytes(entry) - this.inlineBytes(entry, this.headBytes(entry));
		if (bytes > 0) this.#placeBlocks(this.#tree.inodeOf(entry), bytes);
	}

	#placeBlocks(inode: number, bytes: number): void {
		this.#startBlock();
		this.block[inode] = this.#at / BLOCK_BYTES;
		this.#advance(Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES);
	}

	/** The offset for an inode with what lies behind it. */
	#place(head: number, inline: number): number {
		const bytes = head + inline;
		if (this.#gap + bytes <= this.#gapEnd && fits(this.#gap, bytes, inline)) {
			const offset = this.#gap;
			this.#gap = aligned(offset + bytes);
			return offset;
		}
		if (!fits(this.#at, bytes, inline)) this.#startBlock();
		const offset = this.#at;
		this.#advance(bytes);
		return offset;
	}

	/** Goes to the next block; the rest of this one is a gap. The larger gap is kept. */
	#startBlock(): void {
		const end = Math.ceil(this.#at / BLOCK_BYTES) * BLOCK_BYTES;
		if (end - this.#at > this.#gapEnd - this.#gap) {
			this.#gap = this.#at;
			this.#gapEnd = end;
		}
		this.#at = end;
	}

	#advance(bytes: number): void {
		this.#at = aligned(this.#at + bytes);
		if (this.#at > IMAGE_BYTES_MAX) {
			throw new LamellaError("ENOTSUPPORTED", "an image's names and attributes go over 4 GiB");
		}
	}
}

function aligned(offset: number): number {
	return Math.ceil(offset / NID_BYTES) * NID_BYTES;
}

/** What lies behind an inode lies in one block with it. */
function fits(offset: number, bytes: number, inline: number): boolean {
	return inline === 0 || (offset % BLOCK_BYTES) + bytes <= BLOCK_BYTES;
}

function countUses(tree: FileTree): Uint32Array {
	const uses = new Uint32Array(tree.xattrSets.count);
	for (let inode = 0; inode < tree.inodeCount; inode++) {
		const set = tree.inodes.xattrsOf(inode);
		if (set !== NONE && tree.linksOf(inode) > 0) uses[set] = (uses[set] ?? 0) + 1;
	}
	return uses;
}

/**
 * An inode with the mtime that more than half of all have (reproducible builds give all files one), or the root's.
 * One pass finds the only candidate (Boyer and Moore), another one counts.
 */
function commonMtime(tree: FileTree): number {
	const { inodes } = tree;
	const isSame = (a: number, b: number): boolean =>
		inodes.mtimeSecondsOf(a) === inodes.mtimeSecondsOf(b) &&
		inodes.mtimeNanosecondsOf(a) === inodes.mtimeNanosecondsOf(b);
	let candidate = 0;
	let lead = 0;
	for (let inode = 0; inode < inodes.count; inode++) {
		if (tree.linksOf(inode) === 0) continue;
		if (lead === 0) candidate = inode;
		lead += isSame(inode, candidate) ? 1 : -1;
	}
	let count = 0;
	let same = 0;
	for (let inode = 0; inode < inodes.count; inode++) {
		if (tree.linksOf(inode) === 0) continue;
		count++;
		if (isSame(inode, candidate)) same++;
	}
	return 2 * same > count ? candidate : tree.inodeOf(tree.root);
}
