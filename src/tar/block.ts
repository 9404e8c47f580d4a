/**
 * One 512-byte header block: where its fields lie, how numbers and names are written in them, its checksum and
 * which format wrote it.
 *
 * Source: POSIX pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"; star(4).
 */
import { Malformed } from "./malformed.ts";

export const BLOCK_BYTES = 512;

/** A field's place in the block. */
export interface Field {
	readonly at: number;
	readonly bytes: number;
	readonly name: string;
}

type FieldName =
	| ("name" | "mode" | "uid" | "gid" | "size" | "mtime" | "checksum" | "linkName" | "uname" | "gname")
	| ("deviceMajor" | "deviceMinor" | "prefix" | "gnuAtime" | "gnuCtime")
	| ("starPrefix" | "starAtime" | "starCtime");

/** By name, of all layouts; GNU's and star's own stand where ustar has the prefix. */
export const FIELDS: Readonly<Record<FieldName, Field>> = {
	name: { at: 0, bytes: 100, name: "name" },
	mode: { at: 100, bytes: 8, name: "mode" },
	uid: { at: 108, bytes: 8, name: "uid" },
	gid: { at: 116, bytes: 8, name: "gid" },
	size: { at: 124, bytes: 12, name: "size" },
	mtime: { at: 136, bytes: 12, name: "mtime" },
	checksum: { at: 148, bytes: 8, name: "checksum" },
	linkName: { at: 157, bytes: 100, name: "linkname" },
	uname: { at: 265, bytes: 32, name: "uname" },
	gname: { at: 297, bytes: 32, name: "gname" },
	deviceMajor: { at: 329, bytes: 8, name: "devmajor" },
	deviceMinor: { at: 337, bytes: 8, name: "devminor" },
	prefix: { at: 345, bytes: 155, name: "prefix" },
	gnuAtime: { at: 345, bytes: 12, name: "atime" },
	gnuCtime: { at: 357, bytes: 12, name: "ctime" },
	starPrefix: { at: 345, bytes: 131, name: "prefix" },
	starAtime: { at: 476, bytes: 12, name: "atime" },
	starCtime: { at: 488, bytes: 12, name: "ctime" },
};
export const TYPE_AT = 156;
export const MAGIC_AT = 257;

/** `star` is star's own layout, with a shorter prefix and two times behind it. */
export type BlockFormat = "v7" | "ustar" | "gnu" | "star";

/** Which layout the block at `at` has. */
export function blockFormat(block: Uint8Array, at: number): BlockFormat {
	const magic = at + MAGIC_AT;
	// "ustar"
	if (
		block[magic] !== 0x75 ||
		block[magic + 1] !== 0x73 ||
		block[magic + 2] !== 0x74 ||
		block[magic + 3] !== 0x61 ||
		block[magic + 4] !== 0x72
	) {
		return "v7";
	}
	if (block[magic + 5] === 0x20 && block[magic + 6] === 0x20) return "gnu";
	// star's trailer "tar\0", or (its newer exustar layout) a prefix that ends early and two octal times.
	if (
		block[at + 508] === 0x74 &&
		block[at + 509] === 0x61 &&
		block[at + 510] === 0x72 &&
		block[at + 511] === 0
	) {
		return "star";
	}
	if (
		block[at + 475] === 0 &&
		isOctalDigit(block[at + 476]) &&
		block[at + 487] === 0x20 &&
		isOctalDigit(block[at + 488]) &&
		block[at + 499] === 0x20
	) {
		return "star";
	}
	return "ustar";
}

function isOctalDigit(byte: number | undefined): boolean {
	return byte !== undefined && byte >= 0x30 && byte <= 0x37;
}

/** Whether all 512 bytes are zero: such a block stands at the end of an archive. */
export function isZeroBlock(block: Uint8Array, at: number): boolean {
	for (let i = at; i < at + BLOCK_BYTES; i++) {
		if (block[i] !== 0) return false;
	}
	return true;
}

/** Whether the checksum's field holds a number; other bytes than a header hardly ever have one there. */
export function hasChecksum(block: Uint8Array, at: number): boolean {
	try {
		readNumber(block, at, FIELDS.checksum);
		return true;
	} catch (error) {
		if (error instanceof Malformed) return false;
		throw error;
	}
}

/** Whether the checksum is right, over unsigned bytes (POSIX) or signed ones (old Sun and other tars). */
export function checksumMatches(block: Uint8Array, at: number): boolean {
	const stated = readNumber(block, at, FIELDS.checksum);
	const sum = unsignedChecksum(block, at);
	if (sum === stated) return true;
	let high = 0;
	for (let i = at; i < at + BLOCK_BYTES; i++) {
		const inField = i >= at + FIELDS.checksum.at && i < at + FIELDS.checksum.at + FIELDS.checksum.bytes;
		if (!inField && (block[i] ?? 0) >= 0x80) high++;
	}
	return sum - high * 256 === stated;
}

/** Sum of all bytes of the block, its checksum field taken as spaces. */
export function unsignedChecksum(block: Uint8Array, at: number): number {
	const fieldAt = at + FIELDS.checksum.at;
	let sum = 8 * 0x20;
	for (let i = fieldAt; i < fieldAt + FIELDS.checksum.bytes; i++) sum -= block[i] as number;
	const byteOffset = block.byteOffset + at;
	return sum + (byteOffset % 4 === 0 ? sumOfWords(wordsOf(block.buffer), byteOffset) : sumOfBytes(block, at));
}

function sumOfBytes(block: Uint8Array, at: number): number {
	let sum = 0;
	for (let i = at; i < at + BLOCK_BYTES; i++) sum += block[i] as number;
	return sum;
}

/** Two bytes of a word at a time, each with 16 bits to add up in: a block's sum takes 15. */
function sumOfWords(words: Uint32Array, byteOffset: number): number {
	let even = 0;
	let odd = 0;
	const start = byteOffset / 4;
	for (let i = start; i < start + BLOCK_BYTES / 4; i++) {
		const word = words[i] as number;
		even += word & 0x00ff00ff;
		odd += (word >>> 8) & 0x00ff00ff;
	}
	return (even & 0xffff) + (even >>> 16) + (odd & 0xffff) + (odd >>> 16);
}

/** Of the buffer asked for last: a chunk has many headers, and a view costs as much as a sum. */
let lastWords: Uint32Array = new Uint32Array();

function wordsOf(buffer: ArrayBufferLike): Uint32Array {
	if (lastWords.buffer !== buffer) lastWords = new Uint32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
	return lastWords;
}

/**
 * Reads a number: octal digits between blanks, or GNU's base-256 (first bit set; two's complement).
 * An empty field is 0.
 * @throws {Malformed} for anything else, and for what a double cannot hold exactly.
 */
export function readNumber(block: Uint8Array, at: number, { at: fieldAt, bytes, name }: Field): number {
	let i = at + fieldAt;
	const end = i + bytes;
	const first = block[i] as number;
	if (first & 0x80) return readBase256(block, i, end, name);
	while (i < end && (block[i] === 0x20 || block[i] === 0)) i++;
	let value = 0;
	let digit = 0;
	for (; i < end; i++) {
		digit = (block[i] as number) - 0x30;
		if (digit < 0 || digit > 7) break;
		value = value * 8 + digit;
	}
	while (i < end && block[i] === 0x20) i++;
	if (i < end && block[i] !== 0) throw new Malformed(`its field ${name} is not a number`);
	return value;
}

function readBase256(block: Uint8Array, start: number, end: number, name: string): number {
	// A negative number is read as its complement, so that the loop only ever adds.
	const negative = ((block[start] as number) & 0x40) !== 0;
	const inverted = negative ? 0xff : 0;
	let value = ((block[start] as number) ^ inverted) & 0x7f;
	for (let i = start + 1; i < end; i++) {
		value = value * 256 + ((block[i] as number) ^ inverted);
		if (value > Number.MAX_SAFE_INTEGER)
			throw new Malformed(`its field ${name} holds a number that is too large`);
	}
	return negative ? -value - 1 : value;
}

/** Writes `value` as octal digits that fill the field but for a NUL at its end; false where it does not fit. */
export function writeOctal(
	block: Uint8Array,
	at: number,
	{ at: fieldAt, bytes }: Field,
	value: number,
): boolean {
	const digits = bytes - 1;
	const fits = value >= 0 && value < 8 ** digits;
	let rest = fits ? value : 0;
	for (let i = at + fieldAt + digits - 1; i >= at + fieldAt; i--) {
		block[i] = 0x30 + (rest % 8);
		rest = Math.floor(rest / 8);
	}
	block[at + fieldAt + digits] = 0;
	return fits;
}

/** Length of the field's text: up to its first NUL, or all of it. */
export function textLength(block: Uint8Array, at: number, { at: fieldAt, bytes }: Field): number {
	const start = at + fieldAt;
	for (let i = 0; i < bytes; i++) {
		if (block[start + i] === 0) return i;
	}
	return bytes;
}

/** A copy of the field's text. */
export function readText(block: Uint8Array, at: number, field: Field): Buffer {
	const start = at + field.at;
	return copyBytes(block, start, start + textLength(block, at, field));
}

/** A copy that the caller may keep after `block` is reused. */
export function copyBytes(block: Uint8Array, start: number, end: number): Buffer {
	const copy = Buffer.allocUnsafe(end - start);
	for (let i = start; i < end; i++) copy[i - start] = block[i] as number;
	return copy;
}

/** The whole path: name, with the prefix in front where the layout has one. */
export function readPath(block: Uint8Array, at: number, prefix: Field | undefined): Buffer {
	const nameLength = textLength(block, at, FIELDS.name);
	const prefixLength = prefix === undefined ? 0 : textLength(block, at, prefix);
	if (prefix === undefined || prefixLength === 0) return copyBytes(block, at, at + nameLength);
	const path = Buffer.allocUnsafe(prefixLength + 1 + nameLength);
	path.set(block.subarray(at + prefix.at, at + prefix.at + prefixLength), 0);
	path[prefixLength] = 0x2f;
	path.set(block.subarray(at, at + nameLength), prefixLength + 1);
	return path;
}
