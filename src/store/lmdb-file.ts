/**
 * Looks at `data.mdb` before lmdb maps it: lmdb trusts what it maps, and a file that is garbage or cut short
 * ends the process with a signal in place of an error.
 *
 * Layout (this lmdb's format 2, little endian): two meta pages; each has a page header of 24 bytes (flags at
 * 18), then magic, version, address, map size, two tree records of 48 bytes (the first begins with the page
 * size), the last page's number, the transaction's number.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const MAGIC = 0xbeefc0de;
const HEADER_BYTES = 24;
const FLAGS_OFFSET = 18;
const P_META = 0x08;
const META_BYTES = HEADER_BYTES + 136;
// Pages at the end that were taken and given back within one transaction are counted but never written.
const UNWRITTEN_PAGES_MAX = 16;

/** Undefined where the file is missing or sound as far as its heads tell; else what is wrong with it. */
export function lmdbFileProblem(path: string): string | undefined {
	let fd: number;
	try {
		fd = openSync(path, "r");
	} catch (error) {
		if (error instanceof Error && Reflect.get(error, "code") === "ENOENT") return undefined;
		throw error;
	}
	try {
		return problemOf(fd);
	} finally {
		closeSync(fd);
	}
}

function problemOf(fd: number): string | undefined {
	const sizeBytes = fstatSync(fd).size;
	const first = metaAt(fd, 0);
	if (first === undefined) return "it does not begin as a database";
	const { pageBytes } = first;
	if (pageBytes < 256 || pageBytes > 65_536 || (pageBytes & (pageBytes - 1)) !== 0) {
		return `it states a page size of ${pageBytes} bytes`;
	}
	const second = metaAt(fd, pageBytes);
	if (second === undefined || second.pageBytes !== pageBytes) return "its second head is damaged";
	if (sizeBytes % pageBytes !== 0) return "it is cut off within a page";
	const newest = first.transaction > second.transaction ? first : second;
	const pages = BigInt(sizeBytes / pageBytes);
	if (newest.lastPage >= pages + BigInt(UNWRITTEN_PAGES_MAX)) {
		return `it has ${pages} pages and should have ${newest.lastPage + 1n}`;
	}
	return undefined;
}

interface Meta {
	readonly pageBytes: number;
	readonly lastPage: bigint;
	readonly transaction: bigint;
}

function metaAt(fd: number, position: number): Meta | undefined {
	const page = Buffer.alloc(META_BYTES);
	if (readSync(fd, page, 0, META_BYTES, position) < META_BYTES) return undefined;
	if ((page.readUInt16LE(FLAGS_OFFSET) & P_META) === 0) return undefined;
	if (page.readUInt32LE(HEADER_BYTES) !== MAGIC) return undefined;
	return {
		pageBytes: page.readUInt32LE(HEADER_BYTES + 24),
		lastPage: page.readBigUInt64LE(HEADER_BYTES + 120),
		transaction: page.readBigUInt64LE(HEADER_BYTES + 128),
	};
}
