/**
 * The writer: entries and payload in, an archive out; the same entries always give the same bytes.
 *
 * An entry gets a plain ustar block where that says everything, and a PAX header in front of it for what does not
 * fit: so archives of old files are as small as ustar and readable by everything. Sparse files are written
 * in GNU's PAX sparse format 1.0, which GNU tar, Go's archive/tar, libarchive and Python read.
 */
import { BLOCK_BYTES, FIELDS, type Field, MAGIC_AT, TYPE_AT, unsignedChecksum, writeOctal } from "./block.ts";
import { checkEntry, invalid } from "./check-entry.ts";
import type { TarEntry, TarEntryType, Xattr } from "./entry.ts";
import { DEFAULT_TAR_LIMITS } from "./limits.ts";
import { formatTime, PaxRecords } from "./pax-records.ts";

export interface TarWriterOptions {
	/** Size of the pieces that the sink gets: 256 KiB unless told. */
	readonly bufferSizeBytes?: number | undefined;
	/** Where the pieces are made, in place of a buffer of its own; it is free again after `finish`. */
	readonly buffer?: Buffer | undefined;
	/** Cut modification times to whole seconds (towards the past) and leave the other times out. */
	readonly wholeSeconds?: boolean | undefined;
}

const TYPE_FLAGS: Readonly<Record<TarEntryType, number>> = {
	file: 0x30,
	hardlink: 0x31,
	symlink: 0x32,
	character: 0x33,
	block: 0x34,
	directory: 0x35,
	fifo: 0x36,
};
const PAX_TYPE_FLAG = 0x78;
/** The largest value of an 8-byte and of a 12-byte octal field. */
const MAX_OCTAL_7 = 8 ** 7 - 1;
const MAX_OCTAL_11 = 8 ** 11 - 1;
const NS_PER_SECOND = 1_000_000_000n;
const NO_BYTES: Buffer = Buffer.alloc(0);
const PAX_NAME: Buffer = Buffer.from("PaxHeaders.0");
const SPARSE_NAME: Buffer = Buffer.from("GNUSparseFile.0");

/**
 * Writes one archive: for every member `entry`, then `data` until its content is complete, then `entryEnd`; at last
 * `finish`. The sink is called synchronously; the buffer that it gets is reused, so it copies what it keeps.
 */
export class TarWriter {
	readonly #sink: (chunk: Uint8Array) => void;
	readonly #wholeSeconds: boolean;
	readonly #buffer: Buffer;
	#length = 0;
	readonly #pax: PaxRecords = new PaxRecords();
	#entry: TarEntry | undefined;
	/** Bytes of content that are still to come. */
	#remaining = 0;
	#padding = 0;
	#finished = false;

	constructor(sink: (chunk: Uint8Array) => void, options: TarWriterOptions = {}) {
		this.#sink = sink;
		this.#wholeSeconds = options.wholeSeconds ?? false;
		this.#buffer =
			options.buffer ?? Buffer.allocUnsafe(Math.max(4 * BLOCK_BYTES, options.bufferSizeBytes ?? 256 << 10));
	}

	/**
	 * Begins a member.
	 * @throws {LamellaError} `EINVALID` where the entry is one that no archive can hold (see TarEntry), or the
	 * member before has not ended. Nothing of the entry has been written then.
	 */
	entry(entry: TarEntry): void {
		if (this.#finished) throw invalid(entry, "the archive is finished");
		if (this.#entry !== undefined) throw invalid(entry, "the entry before it has not ended");
		checkEntry(entry);
		const map = entry.dataExtents === undefined ? undefined : sparseMapText(entry);
		const contentBytes =
			entry.dataExtents?.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) ?? entry.sizeBytes;
		const storedBytes = contentBytes + (map?.length ?? 0);
		const mtimeNs = this.#wholeSeconds ? floorSeconds(entry.mtimeNs) * NS_PER_SECOND : entry.mtimeNs;

		const split = map === undefined && isAscii(entry.path) ? splitPath(entry.path) : undefined;
		this.#collectPax(entry, storedBytes, mtimeNs, split !== undefined, map !== undefined);
		if (this.#pax.length > DEFAULT_TAR_LIMITS.maxExtendedHeaderBytes) {
			throw invalid(entry, "its name and extended attributes are over 1 MiB, which tar readers refuse");
		}
		if (this.#pax.length > 0) this.#writePaxHeader(entry);
		const shown = split ?? {
			prefix: NO_BYTES,
			name: map === undefined ? asciiName(entry.path) : siblingName(entry.path, SPARSE_NAME),
		};
		this.#writeBlock({
			name: shown.name,
			prefix: shown.prefix,
			typeFlag: TYPE_FLAGS[entry.type],
			mode: entry.mode,
			uid: entry.uid,
			gid: entry.gid,
			sizeBytes: storedBytes,
			mtimeSeconds: Number(floorSeconds(mtimeNs)),
			linkName: fitsText(entry.linkPath, FIELDS.linkName.bytes) ? entry.linkPath : asciiName(entry.linkPath),
			uname: nameIn(FIELDS.uname, entry.uname),
			gname: nameIn(FIELDS.gname, entry.gname),
			deviceMajor: entry.deviceMajor,
			deviceMinor: entry.deviceMinor,
		});
		if (map !== undefined) this.#put(map);
		this.#entry = entry;
		this.#remaining = contentBytes;
		this.#padding = paddingOf(storedBytes);
	}

	/**
	 * Content of the member: for a sparse file only what its data extents hold, one after another.
	 * @throws {LamellaError} `EINVALID` where it is more than the entry said; nothing of `chunk` is written then.
	 */
	data(chunk: Uint8Array): void {
		if (this.#entry === undefined) throw invalid(undefined, "data comes without an entry");
		if (chunk.length > this.#remaining) throw invalid(this.#entry, "there is more data than the entry said");
		this.#remaining -= chunk.length;
		this.#put(chunk);
	}

	/** @throws {LamellaError} `EINVALID` where content is missing. */
	entryEnd(): void {
		if (this.#entry === undefined) throw invalid(undefined, "an entry ends that has not begun");
		if (this.#remaining > 0) {
			throw invalid(this.#entry, `${this.#remaining} bytes fewer came than the entry said`);
		}
		this.#zeros(this.#padding);
		this.#entry = undefined;
	}

	/** Writes the end of the archive and hands the last bytes to the sink. */
	finish(): void {
		if (this.#entry !== undefined) throw invalid(this.#entry, "it has not ended");
		if (this.#finished) throw invalid(undefined, "the archive is finished already");
		this.#finished = true;
		this.#zeros(2 * BLOCK_BYTES);
		this.#flush();
	}

	/** The records are in this order for all archives; xattrs by the bytes of their names. */
	#collectPax(
		entry: TarEntry,
		storedBytes: number,
		mtimeNs: bigint,
		pathFits: boolean,
		sparse: boolean,
	): void {
		const pax = this.#pax;
		pax.clear();
		if (!pathFits && !sparse) pax.add("path", entry.path);
		if (!fitsText(entry.linkPath, FIELDS.linkName.bytes)) pax.add("linkpath", entry.linkPath);
		if (storedBytes > MAX_OCTAL_11) pax.add("size", String(storedBytes));
		if (entry.uid < 0 || entry.uid > MAX_OCTAL_7) pax.add("uid", String(entry.uid));
		if (entry.gid < 0 || entry.gid > MAX_OCTAL_7) pax.add("gid", String(entry.gid));
		if (entry.uname !== undefined && !fitsText(entry.uname, FIELDS.uname.bytes - 1))
			pax.add("uname", entry.uname);
		if (entry.gname !== undefined && !fitsText(entry.gname, FIELDS.gname.bytes - 1))
			pax.add("gname", entry.gname);
		if (mtimeNs < 0n || mtimeNs % NS_PER_SECOND !== 0n || mtimeNs / NS_PER_SECOND > MAX_OCTAL_11) {
			pax.add("mtime", formatTime(mtimeNs));
		}
		if (!this.#wholeSeconds) {
			if (entry.atimeNs !== undefined) pax.add("atime", formatTime(entry.atimeNs));
			if (entry.ctimeNs !== undefined) pax.add("ctime", formatTime(entry.ctimeNs));
		}
		if (entry.deviceMajor > MAX_OCTAL_7) pax.add("SCHILY.devmajor", String(entry.deviceMajor));
		if (entry.deviceMinor > MAX_OCTAL_7) pax.add("SCHILY.devminor", String(entry.deviceMinor));
		if (sparse) {
			pax.add("GNU.sparse.major", "1");
			pax.add("GNU.sparse.minor", "0");
			pax.add("GNU.sparse.name", entry.path);
			pax.add("GNU.sparse.realsize", String(entry.sizeBytes));
		}
		for (const xattr of sortedByName(entry.xattrs)) pax.addXattr(xattr);
	}

	#writePaxHeader(entry: TarEntry): void {
		const name = siblingName(entry.path, PAX_NAME);
		this.#writeBlock({ ...NO_FIELDS, name, typeFlag: PAX_TYPE_FLAG, sizeBytes: this.#pax.length });
		this.#put(this.#pax.bytes);
		this.#zeros(paddingOf(this.#pax.length));
	}

	/** Numbers that do not fit become 0: the PAX header has them. */
	#writeBlock(fields: BlockFields): void {
		if (this.#length + BLOCK_BYTES > this.#buffer.length) this.#flush();
		const block = this.#buffer;
		const at = this.#length;
		block.fill(0, at, at + BLOCK_BYTES);
		writeText(block, at, FIELDS.name, fields.name);
		writeOctal(block, at, FIELDS.mode, fields.mode);
		writeOctal(block, at, FIELDS.uid, fields.uid);
		writeOctal(block, at, FIELDS.gid, fields.gid);
		writeOctal(block, at, FIELDS.size, fields.sizeBytes);
		writeOctal(block, at, FIELDS.mtime, fields.mtimeSeconds);
		block[at + TYPE_AT] = fields.typeFlag;
		writeText(block, at, FIELDS.linkName, fields.linkName);
		// "ustar", NUL, "00"
		block.write("ustar\0" + "00", at + MAGIC_AT, "latin1");
		writeText(block, at, FIELDS.uname, fields.uname);
		writeText(block, at, FIELDS.gname, fields.gname);
		writeOctal(block, at, FIELDS.deviceMajor, fields.deviceMajor);
		writeOctal(block, at, FIELDS.deviceMinor, fields.deviceMinor);
		writeText(block, at, FIELDS.prefix, fields.prefix);
		// Six digits, NUL, space, as all tars write it.
		writeOctal(block, at, { ...FIELDS.checksum, bytes: 7 }, unsignedChecksum(block, at));
		block[at + FIELDS.checksum.at + 7] = 0x20;
		this.#length += BLOCK_BYTES;
	}

	#put(bytes: Uint8Array): void {
		if (this.#length + bytes.length <= this.#buffer.length) {
			this.#buffer.set(bytes, this.#length);
			this.#length += bytes.length;
			return;
		}
		this.#flush();
		// What is larger than the buffer need not be copied through it.
		if (bytes.length >= this.#buffer.length) this.#sink(bytes);
		else {
			this.#buffer.set(bytes, 0);
			this.#length = bytes.length;
		}
	}

	#zeros(bytes: number): void {
		if (bytes === 0) return;
		if (this.#length + bytes > this.#buffer.length) this.#flush();
		this.#buffer.fill(0, this.#length, this.#length + bytes);
		this.#length += bytes;
	}

	#flush(): void {
		if (this.#length === 0) return;
		const bytes = this.#buffer.subarray(0, this.#length);
		this.#length = 0;
		this.#sink(bytes);
	}
}

/** Of a header block. */
const NO_FIELDS = {
	name: NO_BYTES,
	prefix: NO_BYTES,
	typeFlag: 0,
	mode: 0,
	uid: 0,
	gid: 0,
	sizeBytes: 0,
	mtimeSeconds: 0,
	linkName: NO_BYTES,
	uname: NO_BYTES,
	gname: NO_BYTES,
	deviceMajor: 0,
	deviceMinor: 0,
};
type BlockFields = Readonly<typeof NO_FIELDS>;

function writeText(block: Buffer, at: number, field: Field, text: Uint8Array): void {
	if (text.length > 0) block.set(text, at + field.at);
}

/** Bytes from `length` to the next block boundary. */
function paddingOf(length: number): number {
	return (BLOCK_BYTES - (length % BLOCK_BYTES)) % BLOCK_BYTES;
}

function isAscii(bytes: Uint8Array): boolean {
	for (let i = 0; i < bytes.length; i++) {
		if ((bytes[i] as number) >= 0x80) return false;
	}
	return true;
}

/** A user's or group's name, which ends with a NUL; nothing where it does not fit. */
function nameIn({ bytes }: Field, name: Buffer = NO_BYTES): Buffer {
	return fitsText(name, bytes - 1) ? name : NO_BYTES;
}

function fitsText(text: Uint8Array, bytes: number): boolean {
	return text.length <= bytes && isAscii(text);
}

/** The path as ustar's name and prefix, which stand for prefix + "/" + name. `undefined` where it does not fit. */
function splitPath(path: Buffer): { name: Buffer; prefix: Buffer } | undefined {
	if (path.length <= FIELDS.name.bytes) return { name: path, prefix: NO_BYTES };
	if (path.length > FIELDS.name.bytes + 1 + FIELDS.prefix.bytes) return undefined;
	// The name must hold something, and the slash at a directory's end is not where to split.
	const slash = path.subarray(0, Math.min(FIELDS.prefix.bytes + 1, path.length - 1)).lastIndexOf(0x2f);
	if (slash <= 0 || path.length - slash - 1 > FIELDS.name.bytes) return undefined;
	return { name: path.subarray(slash + 1), prefix: path.subarray(0, slash) };
}

/** What stands in the block where the real name is in the PAX header: its ASCII part, for people and old tars. */
function asciiName(path: Buffer): Buffer {
	if (path.length === 0) return path;
	const ascii = Buffer.from(path.subarray(0, FIELDS.name.bytes));
	for (let i = 0; i < ascii.length; i++) {
		if ((ascii[i] as number) >= 0x80) ascii[i] = 0x5f;
	}
	return ascii;
}

/** "a/b" with "PaxHeaders.0" becomes "a/PaxHeaders.0/b", as Go's and GNU's tar name such members. */
function siblingName(path: Buffer, directory: Buffer): Buffer {
	let end = path.length;
	while (end > 1 && path[end - 1] === 0x2f) end--;
	const slash = path.subarray(0, end).lastIndexOf(0x2f);
	const parent = path.subarray(0, slash + 1);
	const name = asciiName(Buffer.concat([parent, directory, Buffer.from("/"), path.subarray(slash + 1, end)]));
	// Cut short, it might end with the slash that would make it a directory.
	return name[name.length - 1] === 0x2f ? name.subarray(0, -1) : name;
}

function floorSeconds(timeNs: bigint): bigint {
	const seconds = timeNs / NS_PER_SECOND;
	return timeNs % NS_PER_SECOND < 0n ? seconds - 1n : seconds;
}

function sortedByName(xattrs: readonly Xattr[]): readonly Xattr[] {
	return xattrs.length < 2 ? xattrs : [...xattrs].sort((a, b) => Buffer.compare(a.name, b.name));
}

/**
 * The map 1.0: count, then offset and length of each piece, a line for each number, filled up to whole blocks.
 * A piece of no length at the end says how long the file is where a hole ends it, as GNU tar writes it.
 */
function sparseMapText(entry: TarEntry): Buffer {
	const extents = entry.dataExtents ?? [];
	const last = extents[extents.length - 1];
	const endsInHole = last === undefined || last.offset + last.sizeBytes < entry.sizeBytes;
	const count = extents.length + (endsInHole ? 1 : 0);
	if (count > DEFAULT_TAR_LIMITS.maxSparseExtents) {
		throw invalid(entry, `it has more than ${DEFAULT_TAR_LIMITS.maxSparseExtents} data extents; join some`);
	}
	let text = `${count}\n`;
	for (const { offset, sizeBytes } of extents) text += `${offset}\n${sizeBytes}\n`;
	if (endsInHole) text += `${entry.sizeBytes}\n0\n`;
	const map = Buffer.alloc(text.length + paddingOf(text.length));
	map.write(text, "latin1");
	if (map.length > DEFAULT_TAR_LIMITS.maxSparseMapBytes) {
		throw invalid(entry, "its map of data extents is over 1 MiB, which tar readers refuse; join some");
	}
	return map;
}
