/**
 * A member's TarEntry: its header block, with what the extended headers and GNU long names in front of it said.
 *
 * Where the formats leave room, Go's archive/tar (which docker, containerd, podman and umoci use) decides:
 * what it takes for a directory or a link has no payload, whatever the size field claims.
 */
import {
	type BlockFormat,
	blockFormat,
	copyBytes,
	FIELDS,
	type Field,
	readNumber,
	readPath,
	readText,
	TYPE_AT,
	textLength,
} from "./block.ts";
import type { DataExtent, TarEntry, TarEntryType, Xattr } from "./entry.ts";
import type { TarLimits } from "./limits.ts";
import { Malformed } from "./malformed.ts";
import type { PaxFields } from "./pax.ts";
import { GNU_SPARSE_HEADER, type OldSparseLayout, STAR_SPARSE_HEADER } from "./sparse.ts";

const NO_BYTES = Buffer.alloc(0);
const ROOT_PATH = Buffer.from("./");
const NO_XATTRS: readonly Xattr[] = Object.freeze([]);

/** What stands in front of a member and is about it. */
export interface MemberContext {
	readonly local: PaxFields | undefined;
	readonly global: PaxFields | undefined;
	readonly longPath: Buffer | undefined;
	readonly longLinkPath: Buffer | undefined;
}

/** How the map of a sparse member is to be read. */
type SparseForm =
	| { readonly form: "old"; readonly layout: OldSparseLayout }
	| { readonly form: "flat"; readonly map: readonly number[]; readonly count: number | undefined }
	| { readonly form: "text" };

export interface Member {
	/** Without its dataExtents yet; `sizeBytes` is the length with holes. */
	entry: TarEntry;
	/** Bytes that follow the header (and sparse extension blocks), without padding to a block. */
	readonly storedBytes: number;
	/** Whether the stored bytes are a regular file's content. */
	readonly hasContent: boolean;
	readonly sparse: SparseForm | undefined;
}

interface Kind {
	readonly type: TarEntryType;
	/** What follows the header by its size field: a file's content, something of no use, or nothing. */
	readonly stored: "content" | "other" | "nothing";
}

const FILE: Kind = { type: "file", stored: "content" };
const DIRECTORY: Kind = { type: "directory", stored: "nothing" };
const DIRECTORY_WITH_BODY: Kind = { type: "directory", stored: "other" };

const KINDS: ReadonlyMap<number, Kind> = new Map([
	[0x31, { type: "hardlink", stored: "nothing" }],
	[0x32, { type: "symlink", stored: "nothing" }],
	[0x33, { type: "character", stored: "nothing" }],
	[0x34, { type: "block", stored: "nothing" }],
	[0x35, DIRECTORY],
	[0x36, { type: "fifo", stored: "nothing" }],
	// GNU's directory with a list of its names behind it.
	[0x44, DIRECTORY_WITH_BODY],
]);

function kindOf(typeFlag: number, path: Buffer): Kind {
	const known = KINDS.get(typeFlag);
	if (known !== undefined) return known;
	// Tars from before type 5 told directories by the slash. Go skips the body of what has type 0 or an unknown one.
	if (path[path.length - 1] === 0x2f) return typeFlag === 0 ? DIRECTORY : DIRECTORY_WITH_BODY;
	// Contiguous files, sparse ones, and (POSIX) every type that is not known.
	return FILE;
}

/** Makes members of one archive: it remembers the last user and group name and time, for they seldom change. */
export class MemberReader {
	readonly #limits: TarLimits;
	readonly #last: { uname: Buffer; gname: Buffer; mtimeSeconds: number; mtimeNs: bigint } = {
		...{ uname: NO_BYTES, gname: NO_BYTES },
		...{ mtimeSeconds: 0, mtimeNs: 0n },
	};

	constructor(limits: TarLimits) {
		this.#limits = limits;
	}

	/** @throws {Malformed} */
	read(block: Uint8Array, at: number, context: MemberContext): Member {
		const { local, global } = context;
		const limits = this.#limits;
		const format = blockFormat(block, at);
		const typeFlag = block[at + TYPE_AT] as number;
		const oldSparse = typeFlag === 0x53;
		const times =
			format === "gnu" || format === "star" ? headerTimes(block, at, format, oldSparse) : undefined;

		const path =
			context.longPath ??
			local?.sparseName ??
			local?.path ??
			readPath(block, at, oldSparse ? undefined : prefixField(format, times));
		const kind = kindOf(typeFlag, path);
		if (path.length === 0 && kind.type !== "directory") throw new Malformed("the entry has no name");
		let storedBytes = 0;
		if (kind.stored !== "nothing") {
			storedBytes = local?.sizeBytes ?? readNumber(block, at, FIELDS.size);
			if (storedBytes < 0) throw new Malformed("the entry's size is negative");
			if (storedBytes > limits.maxFileSizeBytes) {
				throw new Malformed(`the entry's size is over ${limits.maxFileSizeBytes} bytes`);
			}
		}
		const hasContent = kind.stored === "content";
		const sparse = hasContent ? sparseForm(local, oldSparse, format) : undefined;
		let sizeBytes = hasContent ? storedBytes : 0;
		if (sparse !== undefined) {
			sizeBytes = realSize(block, at, local, sparse);
			if (sizeBytes < 0 || sizeBytes > limits.maxFileSizeBytes) {
				throw new Malformed(`the sparse file's size is negative or over ${limits.maxFileSizeBytes} bytes`);
			}
		}

		const isLink = kind.type === "hardlink" || kind.type === "symlink";
		const linkPath = isLink
			? (context.longLinkPath ?? local?.linkPath ?? readText(block, at, FIELDS.linkName))
			: NO_BYTES;
		if (isLink && linkPath.length === 0) throw new Malformed("the link has no target");
		const isDevice = kind.type === "character" || kind.type === "block";

		const entry: TarEntry = {
			// GNU tar takes a directory without a name for the one that the archive is extracted to.
			path: path.length === 0 ? ROOT_PATH : path,
			type: kind.type,
			mode: readMode(block, at),
			uid: local?.uid ?? global?.uid ?? readNumber(block, at, FIELDS.uid),
			gid: local?.gid ?? global?.gid ?? readNumber(block, at, FIELDS.gid),
			uname: pick(local?.uname, global?.uname, this.#readName("uname", block, at, format)),
			gname: pick(local?.gname, global?.gname, this.#readName("gname", block, at, format)),
			sizeBytes,
			mtimeNs: local?.mtimeNs ?? global?.mtimeNs ?? this.#readMtime(block, at),
			atimeNs: pick(local?.atimeNs, global?.atimeNs, times?.atimeNs),
			ctimeNs: pick(local?.ctimeNs, global?.ctimeNs, times?.ctimeNs),
			linkPath,
			deviceMajor: isDevice ? deviceNumber(local?.deviceMajor, block, at, format, FIELDS.deviceMajor) : 0,
			deviceMinor: isDevice ? deviceNumber(local?.deviceMinor, block, at, format, FIELDS.deviceMinor) : 0,
			xattrs: xattrsOf(local, global),
			dataExtents: undefined,
		};
		return { entry, storedBytes, hasContent, sparse };
	}

	#readMtime(block: Uint8Array, at: number): bigint {
		const seconds = readNumber(block, at, FIELDS.mtime);
		if (seconds !== this.#last.mtimeSeconds) {
			this.#last.mtimeSeconds = seconds;
			this.#last.mtimeNs = BigInt(seconds) * 1_000_000_000n;
		}
		return this.#last.mtimeNs;
	}

	#readName(
		field: "uname" | "gname",
		block: Uint8Array,
		at: number,
		format: BlockFormat,
	): Buffer | undefined {
		if (format === "v7") return undefined;
		const place = FIELDS[field];
		if (!sameText(block, at, place, this.#last[field])) this.#last[field] = readText(block, at, place);
		return this.#last[field].length === 0 ? undefined : this.#last[field];
	}
}

/** The entry with its map, once that has been read. */
export function withExtents(entry: TarEntry, dataExtents: readonly DataExtent[]): TarEntry {
	return { ...entry, dataExtents };
}

/** The name in the block alone, for messages about headers that cannot be read further. */
export function plainName(block: Uint8Array, at: number): Buffer {
	return copyBytes(block, at, at + textLength(block, at, FIELDS.name));
}

/** A local word of a keyword, else a global one, else the header's; deleted words hide the rest. */
function pick<T>(
	local: T | null | undefined,
	global: T | null | undefined,
	header: T | undefined,
): T | undefined {
	if (local !== undefined) return local ?? undefined;
	return global ?? header;
}

function deviceNumber(
	stated: number | null | undefined,
	block: Uint8Array,
	at: number,
	format: BlockFormat,
	field: Field,
): number {
	return stated ?? (format === "v7" ? 0 : readNumber(block, at, field));
}

function sameText(block: Uint8Array, at: number, { at: fieldAt, bytes }: Field, text: Buffer): boolean {
	const start = at + fieldAt;
	for (let i = 0; i < text.length; i++) {
		if (block[start + i] !== text[i]) return false;
	}
	return text.length === bytes || block[start + text.length] === 0;
}

/** Some tars put the file type into the mode's higher bits, or a negative number where there was none. */
function readMode(block: Uint8Array, at: number): number {
	const mode = readNumber(block, at, FIELDS.mode);
	return mode < 0 ? 0 : mode % 0o10000;
}

interface HeaderTimes {
	readonly atimeNs: bigint | undefined;
	readonly ctimeNs: bigint | undefined;
	/** The times' place holds a part of the path: Go before 1.8 wrote such GNU headers. */
	readonly isPrefix: boolean;
}

function headerTimes(block: Uint8Array, at: number, format: "gnu" | "star", sparse: boolean): HeaderTimes {
	const [atimeField, ctimeField] =
		format === "gnu" ? [FIELDS.gnuAtime, FIELDS.gnuCtime] : [FIELDS.starAtime, FIELDS.starCtime];
	const read = (field: Field): bigint | undefined =>
		block[at + field.at] === 0 ? undefined : BigInt(readNumber(block, at, field)) * 1_000_000_000n;
	try {
		return { atimeNs: read(atimeField), ctimeNs: read(ctimeField), isPrefix: false };
	} catch (error) {
		if (!(error instanceof Malformed) || format !== "gnu" || sparse) throw error;
		return { atimeNs: undefined, ctimeNs: undefined, isPrefix: true };
	}
}

function prefixField(format: BlockFormat, times: HeaderTimes | undefined): Field | undefined {
	if (format === "ustar") return FIELDS.prefix;
	if (format === "star") return FIELDS.starPrefix;
	return times?.isPrefix === true ? FIELDS.prefix : undefined;
}

function sparseForm(
	local: PaxFields | undefined,
	oldSparse: boolean,
	format: BlockFormat,
): SparseForm | undefined {
	if (oldSparse) {
		if (format === "gnu") return { form: "old", layout: GNU_SPARSE_HEADER };
		if (format === "star") return { form: "old", layout: STAR_SPARSE_HEADER };
		throw new Malformed("a sparse file (type S) stands in a format that has none");
	}
	const sparse = local?.sparse;
	if (sparse === undefined) return undefined;
	const { major, minor } = sparse;
	if (major === 1 && minor === 0) return { form: "text" };
	const old = (major === undefined || major === 0) && (minor === undefined || minor === 0 || minor === 1);
	if (!old) throw new Malformed(`sparse format ${major ?? 0}.${minor ?? 0} is not known`);
	if (sparse.map !== undefined || sparse.extentCount !== undefined || sparse.realSizeBytes !== undefined) {
		return { form: "flat", map: sparse.map ?? [], count: sparse.extentCount };
	}
	return undefined;
}

function realSize(block: Uint8Array, at: number, local: PaxFields | undefined, sparse: SparseForm): number {
	if (sparse.form === "old") {
		const { realSize: field } = sparse.layout;
		return local?.starRealSizeBytes ?? (field === undefined ? 0 : readNumber(block, at, field));
	}
	const size = local?.sparse?.realSizeBytes;
	if (size === undefined) throw new Malformed("the sparse file's real size is missing");
	return size;
}

function xattrsOf(local: PaxFields | undefined, global: PaxFields | undefined): readonly Xattr[] {
	if (global === undefined || global.xattrs.size === 0) {
		return local === undefined || local.xattrs.size === 0 ? NO_XATTRS : [...local.xattrs.values()];
	}
	return [...new Map([...global.xattrs, ...(local?.xattrs ?? [])]).values()];
}
