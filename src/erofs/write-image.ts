/**
 * Owns the making of an EROFS metadata image: a tree's names, attributes, xattrs and symbolic links, and a table of
 * the devices (for Lamella: the layers' tars) that hold the content of its files. Equal trees over equal devices give
 * equal bytes, in whatever order the trees were filled.
 */
import { Buffer } from "node:buffer";
import { LamellaError } from "../errors/index.ts";
import {
	blockEnd,
	type DirectoryOrder,
	DOT,
	DOT_DOT,
	nameLength,
	orderDirectories,
} from "./directory-order.ts";
import type { FileTree } from "./file-tree.ts";
import {
	BLOCK_BYTES,
	COMPACT_INODE,
	DEVICE_SLOT,
	DEVICE_TABLE_OFFSET,
	DIRENT,
	EXTENDED_INODE,
	FEATURE_COMPAT_MTIME,
	FEATURE_INCOMPAT_DEVICE_TABLE,
	FILE_TYPES,
	LAYOUT_FLAT_INLINE,
	LAYOUT_FLAT_PLAIN,
	NID_BYTES,
	SUPERBLOCK,
	XATTR_HEADER,
} from "./format.ts";
import { ImageLayout } from "./image-layout.ts";
import { NONE, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "./inode-table.ts";
import { seal } from "./seal.ts";

/** A file that holds content, in the order in which it is given to the mount. */
export interface ImageDevice {
	/** Whose file it is, as up to 64 bytes of ASCII text: a digest's hexadecimal digits. */
	readonly tag: string;
	/** Only whole blocks of 512 bytes can hold content. */
	readonly sizeBytes: number;
}

export interface ImageOptions {
	readonly devices: readonly ImageDevice[];
}

const DEVICES_MAX = 65_535;
const BLOCKS_MAX = 2 ** 32 - 1;

/**
 * The image of `tree`, a multiple of 512 bytes.
 * @throws {LamellaError} `ENOTSUPPORTED` for what EROFS has no room for (2 TiB in all, 64 KiB in an xattr, …);
 * `EXATTR` for an ACL that is malformed; `EINVALID` for a graph that is not a tree, or content outside of its device
 */
export function writeImage(tree: FileTree, { devices }: ImageOptions): Uint8Array {
	if (devices.length > DEVICES_MAX) {
		throw new LamellaError(
			"ENOTSUPPORTED",
			`an image has at most ${DEVICES_MAX} devices, not ${devices.length}`,
		);
	}
	const order = orderDirectories(tree);
	const layout = new ImageLayout(tree, order, devices.length);
	return new ImageWriter(tree, order, layout, devices).write();
}

class ImageWriter {
	readonly #tree: FileTree;
	readonly #order: DirectoryOrder;
	readonly #layout: ImageLayout;
	readonly #devices: readonly ImageDevice[];
	/** By device, from 1: where it begins in the one space of blocks, and how many it has. */
	readonly #firstBlock: number[] = [0];
	readonly #blocks: number[] = [0];
	readonly #image: Buffer;
	readonly #view: DataView;

	constructor(tree: FileTree, order: DirectoryOrder, layout: ImageLayout, devices: readonly ImageDevice[]) {
		this.#tree = tree;
		this.#order = order;
		this.#layout = layout;
		this.#devices = devices;
		let block = layout.blocks;
		for (const { tag, sizeBytes } of devices) {
			// The kernel reads whole blocks: it says EIO to a last one that is not there as a whole.
			const blocks = Math.floor(sizeBytes / BLOCK_BYTES);
			this.#firstBlock.push(block);
			this.#blocks.push(blocks);
			block += blocks;
			if (block > BLOCKS_MAX) {
				throw new LamellaError(
					"ENOTSUPPORTED",
					`device ${tag} ends beyond the 2 TiB that one image can address`,
				);
			}
		}
		this.#image = Buffer.alloc(layout.blocks * BLOCK_BYTES);
		this.#view = new DataView(this.#image.buffer, this.#image.byteOffset, this.#image.length);
	}

	write(): Uint8Array {
		this.#writeInode(this.#tree.root);
		for (let number = 0; number < this.#order.count; number++) {
			this.#writeDirectory(number);
			this.#writeChildren(number);
		}
		this.#layout.xattrs.writeShared(this.#image, this.#layout.xattrBlock * BLOCK_BYTES);
		this.#writeDevices();
		this.#writeSuperblock();
		return this.#image;
	}

	#writeSuperblock(): void {
		const layout = this.#layout;
		const start = SUPERBLOCK.offset;
		const u32 = (at: number, value: number): void => this.#view.setUint32(start + at, value, true);
		u32(SUPERBLOCK.magicAt, SUPERBLOCK.magic);
		u32(SUPERBLOCK.featureCompatAt, FEATURE_COMPAT_MTIME);
		this.#view.setUint8(start + SUPERBLOCK.blockBitsAt, Math.log2(BLOCK_BYTES));
		const rootNid = layout.nid[this.#tree.inodeOf(this.#tree.root)] ?? 0;
		this.#view.setUint16(start + SUPERBLOCK.rootNidAt, rootNid, true);
		this.#setInteger(start + SUPERBLOCK.inodesAt, layout.placedInodes);
		this.#setInteger(start + SUPERBLOCK.epochAt, layout.epochSeconds);
		u32(SUPERBLOCK.epochNanosecondsAt, layout.epochNanoseconds);
		u32(SUPERBLOCK.blocksAt, layout.blocks);
		u32(SUPERBLOCK.xattrBlockAt, layout.xattrBlock);
		if (this.#devices.length > 0) {
			u32(SUPERBLOCK.featureIncompatAt, FEATURE_INCOMPAT_DEVICE_TABLE);
			this.#view.setUint16(start + SUPERBLOCK.extraDevicesAt, this.#devices.length, true);
			this.#view.setUint16(start + SUPERBLOCK.deviceSlotAt, DEVICE_TABLE_OFFSET / DEVICE_SLOT.bytes, true);
		}
		seal(this.#image);
	}

	#writeDevices(): void {
		for (const [n, { tag }] of this.#devices.entries()) {
			const at = DEVICE_TABLE_OFFSET + n * DEVICE_SLOT.bytes;
			if (!/^[!-~]+$/.test(tag) || tag.length > DEVICE_SLOT.tagBytes) {
				throw new LamellaError(
					"EINVALID",
					`"${tag}" cannot be a device's tag: it has 1 to 64 printable characters`,
				);
			}
			this.#image.write(tag, at, "latin1");
			this.#view.setUint32(at + DEVICE_SLOT.blocksAt, this.#blocks[n + 1] ?? 0, true);
			this.#view.setUint32(at + DEVICE_SLOT.mappedBlockAt, this.#firstBlock[n + 1] ?? 0, true);
		}
	}

	#writeChildren(directory: number): void {
		const { end, entries, start } = this.#order;
		for (let at = start[directory] ?? 0, last = end[directory] ?? 0; at < last; at++) {
			const entry = entries[at] ?? 0;
			if (entry < DOT_DOT) this.#writeInode(entry);
		}
	}

	#writeInode(entry: number): void {
		const layout = this.#layout;
		const { inodes } = this.#tree;
		const inode = this.#tree.inodeOf(entry);
		const nid = layout.nid[inode] ?? 0;
		const start = nid * NID_BYTES;
		const links = layout.linksOf(entry);
		const mode = inodes.modeOf(inode);
		const set = inodes.xattrsOf(inode);
		const body = set === NONE ? undefined : layout.xattrs.get(set, () => this.#tree.pathOf(entry));
		const isCompact = layout.isCompact(inode, links);
		const inodeBytes = isCompact ? COMPACT_INODE.bytes : EXTENDED_INODE.bytes;
		const headBytes = inodeBytes + (body?.length ?? 0);
		const inline = layout.inlineBytes(entry, headBytes);
		const view = this.#view;
		const format = inline > 0 ? LAYOUT_FLAT_INLINE : LAYOUT_FLAT_PLAIN;
		view.setUint16(start + COMPACT_INODE.formatAt, (format << 1) | (isCompact ? 0 : 1), true);
		if (body !== undefined) {
			const xattrCount = 1 + (body.length - XATTR_HEADER.bytes) / 4;
			view.setUint16(start + COMPACT_INODE.xattrCountAt, xattrCount, true);
			this.#image.set(body, start + inodeBytes);
		}
		view.setUint16(start + COMPACT_INODE.modeAt, mode, true);
		view.setUint32(start + COMPACT_INODE.blockAt, this.#blockOrDevice(entry, inode, mode), true);
		view.setUint32(start + COMPACT_INODE.inoAt, nid, true);
		const isRegular = (mode & S_IFMT) === S_IFREG;
		const sizeBytes = isRegular ? inodes.sizeBytesOf(inode) : layout.contentBytes(entry);
		if (isCompact) {
			view.setUint16(start + COMPACT_INODE.linksAt, links, true);
			view.setUint32(start + COMPACT_INODE.sizeAt, sizeBytes, true);
			view.setUint16(start + COMPACT_INODE.uidAt, inodes.uidOf(inode), true);
			view.setUint16(start + COMPACT_INODE.gidAt, inodes.gidOf(inode), true);
		} else {
			this.#setInteger(start + EXTENDED_INODE.sizeAt, sizeBytes);
			view.setUint32(start + EXTENDED_INODE.uidAt, inodes.uidOf(inode), true);
			view.setUint32(start + EXTENDED_INODE.gidAt, inodes.gidOf(inode), true);
			this.#setInteger(start + EXTENDED_INODE.mtimeAt, inodes.mtimeSecondsOf(inode));
			view.setUint32(start + EXTENDED_INODE.mtimeNanosecondsAt, inodes.mtimeNanosecondsOf(inode), true);
			view.setUint32(start + EXTENDED_INODE.linksAt, links, true);
		}
		if ((mode & S_IFMT) === S_IFLNK) {
			const at = inline > 0 ? start + headBytes : (layout.block[inode] ?? 0) * BLOCK_BYTES;
			this.#writeTarget(entry, at);
		}
	}

	#writeTarget(entry: number, at: number): void {
		const { inodes } = this.#tree;
		const target = inodes.target(inodes.targetOf(this.#tree.inodeOf(entry)));
		if (target.includes(0)) {
			const path = this.#tree.pathOf(entry);
			throw new LamellaError("EINVALID", `the target of symbolic link "${path}" holds a NUL byte`, { path });
		}
		this.#image.set(target, at);
	}

	/** What `i_u` says: where content begins, or which device a special file is. */
	#blockOrDevice(entry: number, inode: number, mode: number): number {
		const { inodes } = this.#tree;
		switch (mode & S_IFMT) {
			case S_IFREG:
				return inodes.sizeBytesOf(inode) === 0 ? 0 : this.#contentBlock(entry, inode);
			case S_IFDIR:
			case S_IFLNK:
				return this.#layout.block[inode] ?? 0;
			case S_IFCHR:
			case S_IFBLK:
				return inodes.rdevOf(inode);
			default:
				return 0;
		}
	}

	#contentBlock(entry: number, inode: number): number {
		const { inodes } = this.#tree;
		const device = inodes.deviceOf(inode);
		const block = inodes.deviceBlockOf(inode);
		const blocks = this.#blocks[device];
		if (blocks === undefined || block + Math.ceil(inodes.sizeBytesOf(inode) / BLOCK_BYTES) > blocks) {
			const path = this.#tree.pathOf(entry);
			throw new LamellaError("EINVALID", `the content of "${path}" lies outside of device ${device}`, {
				path,
			});
		}
		return (this.#firstBlock[device] ?? 0) + block;
	}

	#writeDirectory(number: number): void {
		const { entries, entry, end, start } = this.#order;
		const directory = entry[number] ?? 0;
		const inode = this.#tree.inodeOf(directory);
		const headBytes = this.#layout.headBytes(directory);
		const inline = this.#layout.inlineBytes(directory, headBytes);
		const last = end[number] ?? 0;
		let at = (this.#layout.block[inode] ?? 0) * BLOCK_BYTES;
		for (let from = start[number] ?? 0; from < last; at += BLOCK_BYTES) {
			const to = blockEnd(this.#tree, entries, from, last);
			const isTail = to === last && inline > 0;
			this.#writeDirents(
				directory,
				from,
				to,
				isTail ? (this.#layout.nid[inode] ?? 0) * NID_BYTES + headBytes : at,
			);
			from = to;
		}
	}

	#writeDirents(directory: number, from: number, to: number, start: number): void {
		const tree = this.#tree;
		const view = this.#view;
		let nameAt = start + (to - from) * DIRENT.bytes;
		for (let n = from, at = start; n < to; n++, at += DIRENT.bytes) {
			const entry = this.#order.entries[n] ?? 0;
			const target = entry === DOT ? directory : entry === DOT_DOT ? tree.parentOf(directory) : entry;
			const inode = tree.inodeOf(target);
			view.setUint32(at + DIRENT.nidAt, this.#layout.nid[inode] ?? 0, true);
			view.setUint16(at + DIRENT.nameOffsetAt, nameAt - start, true);
			view.setUint8(at + DIRENT.typeAt, FILE_TYPES[tree.inodes.modeOf(inode) >>> 12] ?? 0);
			nameAt = this.#writeName(entry, nameAt);
		}
	}

	/** Gives the end of the name. */
	#writeName(entry: number, at: number): number {
		const end = at + nameLength(this.#tree, entry);
		if (entry >= DOT_DOT) this.#image.fill(".", at, end);
		else {
			const names = this.#tree.nameBytes;
			for (let to = at, from = this.#tree.nameStart(entry); to < end; to++, from++)
				this.#image[to] = names[from] ?? 0;
		}
		return end;
	}

	/** 64 bits, two's complement. */
	#setInteger(at: number, value: number): void {
		const high = Math.floor(value / 2 ** 32);
		this.#view.setUint32(at, value - high * 2 ** 32, true);
		this.#view.setInt32(at + 4, high, true);
	}
}
