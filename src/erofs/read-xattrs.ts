/** Owns the reading of an inode's xattrs, its own and shared ones. */
import { Buffer } from "node:buffer";
import { XATTR_ENTRY, XATTR_HEADER } from "./format.ts";
import { corrupt } from "./image-head.ts";
import { XATTR_PREFIXES } from "./xattr-bodies.ts";
import type { Xattr } from "./xattr-sets.ts";

/** Bytes of the xattrs behind an inode that states `count`. */
export function xattrBodyBytes(count: number): number {
	return count === 0 ? 0 : XATTR_HEADER.bytes + 4 * (count - 1);
}

/** Sorted by name. @throws {LamellaError} `ECORRUPT` */
export function readXattrs(
	image: Uint8Array,
	sharedStart: number,
	start: number,
	bytes: number,
): readonly Xattr[] {
	if (bytes === 0) return [];
	const view = new DataView(image.buffer, image.byteOffset, image.length);
	const end = start + bytes;
	const sharedCount = view.getUint8(start + XATTR_HEADER.sharedCountAt);
	let at = start + XATTR_HEADER.bytes;
	if (at + 4 * sharedCount > end) throw corrupt(`the xattrs at offset ${start} go over their end`);
	const xattrs: Xattr[] = [];
	for (let n = 0; n < sharedCount; n++, at += 4) {
		const id = view.getUint32(at, true);
		xattrs.push(readEntry(image, view, sharedStart + id * XATTR_ENTRY.align, image.length).xattr);
	}
	while (at < end) {
		const entry = readEntry(image, view, at, end);
		xattrs.push(entry.xattr);
		at = entry.end;
	}
	return xattrs.sort((a, b) => Buffer.compare(a.name, b.name));
}

function readEntry(
	image: Uint8Array,
	view: DataView,
	at: number,
	limit: number,
): { xattr: Xattr; end: number } {
	const bad = (): Error => corrupt(`the xattr at offset ${at} makes no sense`);
	if (at + XATTR_ENTRY.bytes > limit) throw bad();
	const nameBytes = view.getUint8(at + XATTR_ENTRY.nameLengthAt);
	const index = view.getUint8(at + XATTR_ENTRY.prefixAt);
	const valueAt = at + XATTR_ENTRY.bytes + nameBytes;
	const end = valueAt + view.getUint16(at + XATTR_ENTRY.valueSizeAt, true);
	const known = XATTR_PREFIXES.find((prefix) => prefix.index === index);
	if (known === undefined || end > limit || known.isWhole !== (nameBytes === 0)) throw bad();
	return {
		xattr: {
			name: Buffer.concat([known.prefix, image.subarray(at + XATTR_ENTRY.bytes, valueAt)]),
			value: image.subarray(valueAt, end),
		},
		end: Math.ceil(end / XATTR_ENTRY.align) * XATTR_ENTRY.align,
	};
}
