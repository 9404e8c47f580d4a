/**
 * The body of a PAX extended header: records "LENGTH KEYWORD=VALUE\n" and what the known keywords mean.
 *
 * Values stay bytes: an xattr may hold NULs and newlines, a path may be in no known encoding (which is also what
 * `hdrcharset=BINARY` says, so that keyword needs no handling).
 * Source: POSIX pax, "pax Header Block"; star(4) for SCHILY.*; tar(5) of libarchive for LIBARCHIVE.xattr.*;
 * GNU tar manual, "Storing Sparse Files", for GNU.sparse.*.
 */
import { aclFromText } from "./acl.ts";
import type { Xattr } from "./entry.ts";
import type { TarLimits } from "./limits.ts";
import { Malformed } from "./malformed.ts";

/** GNU.sparse.* records as they stand; sparse.ts makes a map of them. */
export interface PaxSparse {
	major: number | undefined;
	minor: number | undefined;
	realSizeBytes: number | undefined;
	/** 0.0 and 0.1: offset, length, offset, length ... */
	map: number[] | undefined;
	/** Length of `map` / 2 as the archive states it. */
	extentCount: number | undefined;
}

/** What extended headers said. `undefined` is "not said", `null` is "said to be empty": the keyword is deleted. */
export class PaxFields {
	path: Buffer | null | undefined = undefined;
	linkPath: Buffer | null | undefined = undefined;
	uname: Buffer | null | undefined = undefined;
	gname: Buffer | null | undefined = undefined;
	sizeBytes: number | null | undefined = undefined;
	uid: number | null | undefined = undefined;
	gid: number | null | undefined = undefined;
	mtimeNs: bigint | null | undefined = undefined;
	atimeNs: bigint | null | undefined = undefined;
	ctimeNs: bigint | null | undefined = undefined;
	deviceMajor: number | null | undefined = undefined;
	deviceMinor: number | null | undefined = undefined;
	/** SCHILY.realsize: the length of a file of type `S` in star's archives. */
	starRealSizeBytes: number | null | undefined = undefined;
	sparseName: Buffer | null | undefined = undefined;
	sparse: PaxSparse | undefined = undefined;
	/** By name as Latin-1, in the archive's order; a later record of the same name replaces the value. */
	readonly xattrs: Map<string, Xattr> = new Map();
	xattrBytes = 0;
	/** ACLs, by their xattr's names, that could not be made one of. */
	unresolvedAcls: string[] | undefined = undefined;
}

/**
 * Reads all records of `body` into `fields`. `body` may be reused afterwards.
 * @throws {Malformed} where a record's form or a known keyword's value is wrong, or a limit is passed.
 */
export function readPax(body: Uint8Array, fields: PaxFields, limits: TarLimits): void {
	const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
	let at = 0;
	while (at < bytes.length) {
		// Some writers fill the body up with NULs.
		if (bytes[at] === 0) return;
		let length = 0;
		let i = at;
		for (; i < bytes.length; i++) {
			const digit = (bytes[i] as number) - 0x30;
			if (digit < 0 || digit > 9) break;
			length = length * 10 + digit;
			if (length > bytes.length) throw new Malformed("an extended header record is longer than its header");
		}
		const end = at + length;
		if (i === at || bytes[i] !== 0x20 || end > bytes.length || end <= i + 1 || bytes[end - 1] !== 0x0a) {
			throw new Malformed("an extended header record has a wrong length");
		}
		const equals = bytes.indexOf(0x3d, i + 1);
		if (equals <= i + 1 || equals >= end - 1) throw new Malformed("an extended header record has no keyword");
		readRecord(bytes.toString("latin1", i + 1, equals), bytes.subarray(equals + 1, end - 1), fields, limits);
		at = end;
	}
}

/**
 * Merges the body of a global header into `fields`, which apply to all members after it. An empty value takes an
 * earlier global one back. Paths, sizes and sparse maps cannot be meant for all members and are passed over.
 * @throws {Malformed}
 */
export function applyGlobal(body: Uint8Array, fields: PaxFields, limits: TarLimits): void {
	readPax(body, fields, { ...limits, maxXattrs: limits.maxGlobalXattrs });
	fields.path = undefined;
	fields.linkPath = undefined;
	fields.sizeBytes = undefined;
	fields.starRealSizeBytes = undefined;
	fields.deviceMajor = undefined;
	fields.deviceMinor = undefined;
	fields.sparseName = undefined;
	fields.sparse = undefined;
	fields.unresolvedAcls = undefined;
}

/** Keywords by the field that they give, and by how their values are read. */
const TEXTS = new Map([
	["path", "path"],
	["linkpath", "linkPath"],
	["uname", "uname"],
	["gname", "gname"],
	["GNU.sparse.name", "sparseName"],
] as const);
const DECIMALS = new Map([
	["size", "sizeBytes"],
	["uid", "uid"],
	["gid", "gid"],
	["SCHILY.devmajor", "deviceMajor"],
	["SCHILY.devminor", "deviceMinor"],
	["SCHILY.realsize", "starRealSizeBytes"],
] as const);
const TIMES = new Map([
	["mtime", "mtimeNs"],
	["atime", "atimeNs"],
	["ctime", "ctimeNs"],
] as const);
const ACLS = new Map([
	["SCHILY.acl.access", "system.posix_acl_access"],
	["SCHILY.acl.default", "system.posix_acl_default"],
]);
const SPARSE_DECIMALS = new Map([
	["GNU.sparse.major", "major"],
	["GNU.sparse.minor", "minor"],
	["GNU.sparse.size", "realSizeBytes"],
	["GNU.sparse.realsize", "realSizeBytes"],
	["GNU.sparse.numblocks", "extentCount"],
] as const);

/** What a table has for a keyword, which may be any. */
function fieldOf<K extends string, F>(table: ReadonlyMap<K, F>, keyword: string): F | undefined {
	return table.get(keyword as K);
}

function readRecord(keyword: string, value: Buffer, fields: PaxFields, limits: TarLimits): void {
	const isEmpty = value.length === 0;
	const textField = fieldOf(TEXTS, keyword);
	if (textField !== undefined) {
		fields[textField] = isEmpty ? null : text(keyword, value, limits);
		return;
	}
	const decimalField = fieldOf(DECIMALS, keyword);
	if (decimalField !== undefined) {
		fields[decimalField] = isEmpty ? null : readDecimal(keyword, value);
		return;
	}
	const timeField = fieldOf(TIMES, keyword);
	if (timeField !== undefined) {
		fields[timeField] = isEmpty ? null : readTime(keyword, value);
		return;
	}
	const acl = ACLS.get(keyword);
	if (acl !== undefined) readAcl(acl, value, fields, limits);
	else if (keyword === "RHT.security.selinux") {
		addXattr(fields, Buffer.from("security.selinux"), Buffer.from(value), limits);
	} else if (keyword.startsWith("SCHILY.xattr.")) {
		const name = Buffer.from(decodeGnuKeyword(keyword.slice(13)), "latin1");
		addXattr(fields, name, Buffer.from(value), limits);
	} else if (keyword.startsWith("LIBARCHIVE.xattr.")) {
		const name = Buffer.from(decodePercent(keyword.slice(17)), "latin1");
		addXattr(fields, name, Buffer.from(value.toString("latin1"), "base64"), limits);
	} else if (keyword.startsWith("GNU.sparse.")) {
		readSparseRecord(keyword, value, fields, limits);
	}
}

function readSparseRecord(keyword: string, value: Buffer, fields: PaxFields, limits: TarLimits): void {
	fields.sparse ??= {
		major: undefined,
		minor: undefined,
		realSizeBytes: undefined,
		map: undefined,
		extentCount: undefined,
	};
	const sparse = fields.sparse;
	const decimal = fieldOf(SPARSE_DECIMALS, keyword);
	if (decimal !== undefined) {
		sparse[decimal] = readDecimal(keyword, value);
		return;
	}
	switch (keyword) {
		case "GNU.sparse.offset":
		case "GNU.sparse.numbytes": {
			sparse.map ??= [];
			// The pairs of version 0.0 are records of their own, told apart only by their order.
			if ((sparse.map.length % 2 === 0) !== (keyword === "GNU.sparse.offset")) {
				throw new Malformed("the sparse map's records are out of order");
			}
			sparse.map.push(readDecimal(keyword, value));
			checkExtentCount(sparse.map, limits);
			break;
		}
		case "GNU.sparse.map": {
			const map: number[] = [];
			let from = 0;
			while (value.length > 0 && from <= value.length) {
				let to = value.indexOf(0x2c, from);
				if (to === -1) to = value.length;
				map.push(readDecimal(keyword, value.subarray(from, to)));
				checkExtentCount(map, limits);
				from = to + 1;
			}
			sparse.map = map;
			break;
		}
	}
}

function checkExtentCount(map: readonly number[], limits: TarLimits): void {
	if (map.length > 2 * limits.maxSparseExtents) {
		throw new Malformed(`the sparse map has more than ${limits.maxSparseExtents} pieces`);
	}
}

function text(keyword: string, value: Buffer, limits: TarLimits): Buffer {
	if (value.length > limits.maxPathBytes) {
		throw new Malformed(`${keyword} is longer than ${limits.maxPathBytes} bytes`);
	}
	if (value.includes(0)) throw new Malformed(`${keyword} holds a NUL byte`);
	return Buffer.from(value);
}

function readAcl(name: string, value: Buffer, fields: PaxFields, limits: TarLimits): void {
	if (value.length === 0) return;
	const acl = aclFromText(value);
	if (acl === undefined) {
		// Names of users mean something only with the image's own passwd; the codec does not have it.
		fields.unresolvedAcls ??= [];
		fields.unresolvedAcls.push(name);
		return;
	}
	addXattr(fields, Buffer.from(name), acl, limits);
}

function addXattr(fields: PaxFields, name: Buffer, value: Buffer, limits: TarLimits): void {
	if (name.length === 0 || name.includes(0)) throw new Malformed("an extended attribute has no proper name");
	const key = name.toString("latin1");
	const replaced = fields.xattrs.get(key);
	fields.xattrBytes +=
		replaced === undefined ? name.length + value.length : value.length - replaced.value.length;
	if (fields.xattrBytes > limits.maxXattrBytes) {
		throw new Malformed(`the extended attributes are larger than ${limits.maxXattrBytes} bytes`);
	}
	fields.xattrs.set(key, { name, value });
	if (fields.xattrs.size > limits.maxXattrs) {
		throw new Malformed(`there are more than ${limits.maxXattrs} extended attributes`);
	}
}

/** GNU tar writes `%` and `=` of an xattr's name as %25 and %3D, for a keyword ends at the first `=`. */
function decodeGnuKeyword(keyword: string): string {
	return keyword.includes("%")
		? keyword.replaceAll(/%3D|%25/g, (code) => (code === "%25" ? "%" : "="))
		: keyword;
}

function decodePercent(keyword: string): string {
	return keyword.replaceAll(/%[0-9A-Fa-f]{2}/g, (code) =>
		String.fromCharCode(Number.parseInt(code.slice(1), 16)),
	);
}

function readDecimal(keyword: string, value: Uint8Array): number {
	const negative = value[0] === 0x2d;
	let number = 0;
	let i = negative ? 1 : 0;
	if (i === value.length) throw new Malformed(`${keyword} is not a number`);
	for (; i < value.length; i++) {
		const digit = (value[i] as number) - 0x30;
		if (digit < 0 || digit > 9) throw new Malformed(`${keyword} is not a number`);
		number = number * 10 + digit;
		if (number > Number.MAX_SAFE_INTEGER) throw new Malformed(`${keyword} is too large a number`);
	}
	return negative && number !== 0 ? -number : number;
}

/** Seconds with a fraction, to ns; digits behind the ninth are cut. "-1.5" is one and a half seconds before 1970. */
function readTime(keyword: string, value: Uint8Array): bigint {
	const negative = value[0] === 0x2d;
	let i = negative ? 1 : 0;
	const start = i;
	let seconds = 0;
	for (; i < value.length && value[i] !== 0x2e; i++) {
		const digit = (value[i] as number) - 0x30;
		if (digit < 0 || digit > 9) throw new Malformed(`${keyword} is not a time`);
		seconds = seconds * 10 + digit;
		if (seconds > Number.MAX_SAFE_INTEGER) throw new Malformed(`${keyword} is too far from now`);
	}
	if (i === start) throw new Malformed(`${keyword} is not a time`);
	let nanoseconds = 0;
	let unit = 100_000_000;
	for (i++; i < value.length; i++) {
		const digit = (value[i] as number) - 0x30;
		if (digit < 0 || digit > 9) throw new Malformed(`${keyword} is not a time`);
		nanoseconds += digit * unit;
		unit = Math.floor(unit / 10);
	}
	const ns = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
	return negative ? -ns : ns;
}
