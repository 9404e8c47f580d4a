/**
 * Owns the reading of one inode: its attributes, xattrs, and where its content is. Every number is held against what
 * it may be.
 */
import {
	BLOCK_BYTES,
	COMPACT_INODE,
	EXTENDED_INODE,
	FILE_TYPES,
	LAYOUT_FLAT_INLINE,
	LAYOUT_FLAT_PLAIN,
	NID_BYTES,
	TARGET_BYTES_MAX,
} from "./format.ts";
import { corrupt, type ImageHead, type MappedDevice, readInteger } from "./image-head.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "./inode-table.ts";
import { readXattrs, xattrBodyBytes } from "./read-xattrs.ts";
import type { Xattr } from "./xattr-sets.ts";

export interface ImageInode {
	/** Its number in the image, which is what stat(2) says. */
	readonly nid: number;
	/** With S_IFMT. */
	readonly mode: number;
	readonly uid: number;
	readonly gid: number;
	readonly links: number;
	readonly mtimeSeconds: number;
	readonly mtimeNanoseconds: number;
	readonly sizeBytes: number;
	/** As `encodeDevice` gives it; 0 where the inode is not a device. */
	readonly rdev: number;
	/** Where a regular file's content lies: device 1 is the first of the table, 0 is none (an empty file). */
	readonly device: number;
	readonly deviceOffsetBytes: number;
	readonly xattrs: readonly Xattr[];
	/** Of a symbolic link. */
	readonly target: Uint8Array | undefined;
}

export interface ReadInode {
	readonly inode: ImageInode;
	/** Bytes of the inode with its xattrs and what lies behind it. */
	readonly bytes: number;
	/** A directory's blocks of names. */
	readonly directoryBlocks: readonly Uint8Array[];
}

interface Content {
	/** In whole blocks elsewhere, … */
	readonly blocks: Uint8Array;
	/** … and behind the inode. */
	readonly tail: Uint8Array;
}

const NOTHING = new Uint8Array(0);
const NANOSECONDS_MAX = 999_999_999;

/** @throws {LamellaError} `ECORRUPT` */
export function readInode(image: Uint8Array, head: ImageHead, nid: number): ReadInode {
	const start = nid * NID_BYTES;
	const view = new DataView(image.buffer, image.byteOffset, image.length);
	const bad = (what: string): Error => corrupt(`inode ${nid} ${what}`);
	if (nid < 0 || start + COMPACT_INODE.bytes > image.length) throw bad("lies outside of it");
	const format = view.getUint16(start + COMPACT_INODE.formatAt, true);
	const isCompact = (format & 1) === 0;
	const layout = format >>> 1;
	if (layout !== LAYOUT_FLAT_PLAIN && layout !== LAYOUT_FLAT_INLINE)
		throw bad("has a form that Lamella does not write");
	const inodeBytes = isCompact ? COMPACT_INODE.bytes : EXTENDED_INODE.bytes;
	const bodyBytes = xattrBodyBytes(view.getUint16(start + COMPACT_INODE.xattrCountAt, true));
	const headEnd = start + inodeBytes + bodyBytes;
	if (headEnd > image.length) throw bad("goes over its end");
	const mode = view.getUint16(start + COMPACT_INODE.modeAt, true);
	const type = mode & S_IFMT;
	if (FILE_TYPES[mode >>> 12] === 0) throw bad("has a type that Linux does not know");
	const sizeBytes = isCompact
		? view.getUint32(start + COMPACT_INODE.sizeAt, true)
		: readInteger(view, start + EXTENDED_INODE.sizeAt);
	const block = view.getUint32(start + COMPACT_INODE.blockAt, true);
	const mtimeNanoseconds = isCompact
		? head.epochNanoseconds
		: view.getUint32(start + EXTENDED_INODE.mtimeNanosecondsAt, true);
	if (sizeBytes < 0 || mtimeNanoseconds > NANOSECONDS_MAX) throw bad("has a size or time that cannot be");
	const isOwn = type === S_IFDIR || type === S_IFLNK;
	if (!isOwn && layout !== LAYOUT_FLAT_PLAIN)
		throw bad("has content behind it, but is no directory or symbolic link");
	if (!isOwn && type !== S_IFREG && sizeBytes !== 0) throw bad("is a special file with a size");
	const tailBytes = layout === LAYOUT_FLAT_PLAIN ? 0 : sizeBytes % BLOCK_BYTES;
	const content = isOwn
		? readContent(image, block, sizeBytes, headEnd, tailBytes, bad)
		: { blocks: NOTHING, tail: NOTHING };
	const device = type === S_IFREG && sizeBytes > 0 ? findDevice(head.devices, block, sizeBytes) : undefined;
	if (type === S_IFREG && sizeBytes > 0 && device === undefined)
		throw bad("has content outside of every device");
	return {
		inode: {
			nid,
			mode,
			uid: isCompact
				? view.getUint16(start + COMPACT_INODE.uidAt, true)
				: view.getUint32(start + EXTENDED_INODE.uidAt, true),
			gid: isCompact
				? view.getUint16(start + COMPACT_INODE.gidAt, true)
				: view.getUint32(start + EXTENDED_INODE.gidAt, true),
			links: isCompact
				? view.getUint16(start + COMPACT_INODE.linksAt, true)
				: view.getUint32(start + EXTENDED_INODE.linksAt, true),
			mtimeSeconds: isCompact ? head.epochSeconds : readInteger(view, start + EXTENDED_INODE.mtimeAt),
			mtimeNanoseconds,
			sizeBytes,
			rdev: type === S_IFCHR || type === S_IFBLK ? block : 0,
			device: device === undefined ? 0 : head.devices.indexOf(device) + 1,
			deviceOffsetBytes: device === undefined ? 0 : (block - device.firstBlock) * BLOCK_BYTES,
			xattrs: readXattrs(image, head.xattrBlock * BLOCK_BYTES, start + inodeBytes, bodyBytes),
			target: type === S_IFLNK ? readTarget(content, bad) : undefined,
		},
		bytes: headEnd - start + tailBytes,
		directoryBlocks: type === S_IFDIR ? splitBlocks(content) : [],
	};
}

function readContent(
	image: Uint8Array,
	block: number,
	sizeBytes: number,
	headEnd: number,
	tailBytes: number,
	bad: (what: string) => Error,
): Content {
	const start = block * BLOCK_BYTES;
	const blockBytes = sizeBytes - tailBytes;
	if (start + blockBytes > image.length || headEnd + tailBytes > image.length)
		throw bad("has content behind its end");
	if (tailBytes > 0 && (headEnd % BLOCK_BYTES) + tailBytes > BLOCK_BYTES)
		throw bad("has content across two blocks");
	return {
		blocks: blockBytes === 0 ? NOTHING : image.subarray(start, start + blockBytes),
		tail: image.subarray(headEnd, headEnd + tailBytes),
	};
}

function readTarget({ blocks, tail }: Content, bad: (what: string) => Error): Uint8Array {
	const target = blocks.length > 0 ? blocks : tail;
	const isTarget = target.length > 0 && target.length <= TARGET_BYTES_MAX && !target.includes(0);
	if (!isTarget || (blocks.length > 0 && tail.length > 0)) throw bad("has no proper target");
	return target;
}

function splitBlocks({ blocks, tail }: Content): Uint8Array[] {
	const all: Uint8Array[] = [];
	for (let at = 0; at < blocks.length; at += BLOCK_BYTES) all.push(blocks.subarray(at, at + BLOCK_BYTES));
	if (tail.length > 0) all.push(tail);
	return all;
}

/** The device in which so many bytes from `block` on lie. Devices are sorted by their first blocks. */
function findDevice(
	devices: readonly MappedDevice[],
	block: number,
	sizeBytes: number,
): MappedDevice | undefined {
	let low = 0;
	let high = devices.length;
	while (low < high) {
		const middle = (low + high) >>> 1;
		if ((devices[middle]?.firstBlock ?? 0) <= block) low = middle + 1;
		else high = middle;
	}
	const device = devices[low - 1];
	if (device === undefined) return undefined;
	const isInside = block + Math.ceil(sizeBytes / BLOCK_BYTES) <= device.firstBlock + device.blocks;
	return isInside ? device : undefined;
}
