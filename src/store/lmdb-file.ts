/**
 * Looks at `data.mdb` before lmdb maps it: lmdb trusts what it maps, and a file that is garbage or cut short
 * ends the process with a signal in place of an error.
 *
 * Layout (this lmdb's format 2, little endian). A page: its number (8 bytes), a transaction (8), 2 spare, flags
 * (2 at 18), then the bounds of its free space (2 and 2). Pages 0 and 1 are metas: magic, version, address, map size,
 * two tree records, the last page's number, the transaction's number. A tree record is 48 bytes: in the first of a
 * meta the page size at 0, the root page's number at 40. Other pages begin with the offsets of their nodes; a node is
 * 2+2 bytes of data size (or child page), 2 of flags, 2 of key size, key, data.
 */
import { readFileSync } from "node:fs";
import { errnoOf } from "./failure.ts";

const MAGIC = 0xbeefc0de;
const HEADER_BYTES = 24;
const FLAGS_OFFSET = 18;
const LOWER_OFFSET = 20;
const TREE_BYTES = 48;
const TREE_ROOT_OFFSET = 40;
const NODE_BYTES = 8;
const META_TREES_OFFSET = HEADER_BYTES + 24;
const META_BYTES = HEADER_BYTES + 136;

const P_BRANCH = 0x01;
const P_LEAF = 0x02;
const P_META = 0x08;
const P_LEAF2 = 0x20;
const F_BIGDATA = 0x01;
const F_SUBDATA = 0x02;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
const DEPTH_MAX = 32;

/**
 * Undefined where the file is missing or sound; else what is wrong with it. Every page that lmdb may walk to is
 * looked at, so it has to be called while nobody writes; `headsOnly` is for when somebody may.
 */
export function lmdbFileProblem(
	path: string,
	{ headsOnly }: { readonly headsOnly: boolean },
): string | undefined {
	let file: Buffer;
	try {
		file = readFileSync(path);
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return undefined;
		throw error;
	}
	const first = metaAt(file, 0);
	if (first === undefined) return "it does not begin as a database";
	const { pageBytes } = first;
	if (pageBytes < 256 || pageBytes > 65_536 || (pageBytes & (pageBytes - 1)) !== 0) {
		return `it states a page size of ${pageBytes} bytes`;
	}
	const second = metaAt(file, pageBytes);
	if (second === undefined || second.pageBytes !== pageBytes) return "its second head is damaged";
	if (headsOnly) return undefined;
	const newest = first.transaction > second.transaction ? first : second;
	try {
		const pages: Pages = { file, pageBytes };
		for (const root of newest.roots) checkTree(pages, root, 0);
		return undefined;
	} catch (error) {
		if (error instanceof DamagedError || error instanceof RangeError) return error.message;
		throw error;
	}
}

class DamagedError extends Error {}

interface Pages {
	readonly file: Buffer;
	readonly pageBytes: number;
}

interface Meta {
	readonly pageBytes: number;
	/** Of the list of free pages, and of the tree of tables. */
	readonly roots: readonly bigint[];
	readonly transaction: bigint;
}

function metaAt(file: Buffer, position: number): Meta | undefined {
	if (file.length < position + META_BYTES) return undefined;
	const page = file.subarray(position, position + META_BYTES);
	if ((page.readUInt16LE(FLAGS_OFFSET) & P_META) === 0) return undefined;
	if (page.readUInt32LE(HEADER_BYTES) !== MAGIC) return undefined;
	const rootOf = (tree: number): bigint =>
		page.readBigUInt64LE(META_TREES_OFFSET + tree * TREE_BYTES + TREE_ROOT_OFFSET);
	return {
		pageBytes: page.readUInt32LE(META_TREES_OFFSET),
		roots: [rootOf(0), rootOf(1)],
		transaction: page.readBigUInt64LE(HEADER_BYTES + 128),
	};
}

function pageAt({ file, pageBytes }: Pages, number: bigint): Buffer {
	const position = Number(number) * pageBytes;
	if (number > BigInt(file.length) || position + pageBytes > file.length) {
		throw new DamagedError(`it is cut off: page ${number} is missing`);
	}
	return file.subarray(position, position + pageBytes);
}

function checkTree(pages: Pages, root: bigint, depth: number): void {
	if (root === NO_PAGE) return;
	const page = pageAt(pages, root);
	const flags = page.readUInt16LE(FLAGS_OFFSET);
	const isBranch = (flags & P_BRANCH) !== 0;
	if (page.readBigUInt64LE(0) !== root || isBranch === ((flags & P_LEAF) !== 0) || depth > DEPTH_MAX) {
		throw new DamagedError(`page ${root} is damaged`);
	}
	if ((flags & P_LEAF2) !== 0) return;
	const end = page.readUInt16LE(LOWER_OFFSET);
	for (let at = HEADER_BYTES; at < end; at += 2) {
		const node = page.subarray(page.readUInt16LE(at));
		if (node.length < NODE_BYTES) throw new DamagedError(`page ${root} is damaged`);
		const nodeFlags = node.readUInt16LE(4);
		const low = BigInt(node.readUInt32LE(0));
		if (isBranch) {
			checkTree(pages, low | (BigInt(nodeFlags) << 32n), depth + 1);
			continue;
		}
		const data = node.subarray(NODE_BYTES + node.readUInt16LE(6));
		if ((nodeFlags & F_SUBDATA) !== 0) checkTree(pages, data.readBigUInt64LE(TREE_ROOT_OFFSET), depth + 1);
		else if ((nodeFlags & F_BIGDATA) !== 0) pageAt(pages, data.readBigUInt64LE(0));
		else if (BigInt(data.length) < low) throw new DamagedError(`page ${root} is damaged`);
	}
}
