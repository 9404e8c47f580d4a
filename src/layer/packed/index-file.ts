/**
 * The format of a packed layer's index on disk (layer.index): what a merge needs to know of every entry.
 *
 * It is a header of 124 bytes and a body, compressed by zstd: records and text of the entries (index-entries.ts),
 * the sets of xattrs, and the ID maps that the owners went through, as JSON. Numbers are little-endian.
 *
 *       0  "LAMELIDX"
 *       8  u32  format version
 *      12  u32  flags: 1 whether a merge needs the layers below to be right (see LayerIndexHeader)
 *      16  u64  size of layer.tar          24  i64  its mtime in ns
 *      32  u64  size of layer.data         40  i64  its mtime in ns
 *      48  u64  content size               56  u32  entries of the tar
 *      60  u32  records                    64  u32  bytes of text
 *      68  u32  sets of xattrs             72  u32  bytes of them
 *      76  u32  bytes of the ID maps       80  u32  bytes of the compressed body
 *      84  32 bytes  the diffID's digest
 *     116  u32  CRC-32 of the compressed body
 *     120  u32  CRC-32 of the 120 bytes before
 */
import path from "node:path";
import zlib from "node:zlib";
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import type { IdMaps } from "../../idmap/index.ts";
import * as linux from "../../linux/index.ts";
import type { Xattr } from "../../tar/index.ts";
import type { DiffId } from "../digest/digest.ts";
import { asLamellaError } from "../system-failure.ts";
import { ENTRY, ENTRY_MAX, IndexEntries, RECORD_BYTES, TEXT_BYTES_MAX } from "./index-entries.ts";
import { INDEX_FILE } from "./layer-files.ts";
import { decodeXattrSets, encodeXattrSets } from "./xattr-set-bytes.ts";

const MAGIC = Buffer.from("LAMELIDX");
const VERSION = 1;
const HEADER_BYTES = 124;
const CHECKED_BYTES = 120;
const NEEDS_LOWERS = 1;
const BODY_BYTES_MAX = 2 ** 31;
const FILE_MODE = 0o400;

export interface LayerIndexHeader {
	readonly diffId: DiffId;
	readonly tarSizeBytes: number;
	readonly tarMtimeNs: bigint;
	/** 0 where the layer has no layer.data. */
	readonly dataSizeBytes: number;
	readonly dataMtimeNs: bigint;
	/** See ApplyResult. */
	readonly contentSizeBytes: number;
	readonly tarEntries: number;
	/** An entry is in a directory, or links to a file, that only a layer below can have. */
	readonly needsLowers: boolean;
	/** Its owners went through ID maps. */
	readonly isIdMapped: boolean;
}

export interface LayerIndex extends LayerIndexHeader {
	readonly entries: IndexEntries;
	/** By number, from 0; entries have that number plus 1. */
	readonly xattrSets: readonly (readonly Xattr[])[];
	/** What the owners of the tar went through. */
	readonly idMaps: IdMaps | undefined;
}

/**
 * Writes layer.index into the layer's directory.
 * @returns its disk use, in bytes
 * @throws {SystemError}
 */
export function writeIndex(directory: string, index: Omit<LayerIndex, "isIdMapped">): number {
	const { entries } = index;
	const xattrs = encodeXattrSets(index.xattrSets);
	const idMaps = index.idMaps === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(index.idMaps));
	const raw = Buffer.concat([entries.recordBytes, entries.textBytes, xattrs, idMaps]);
	const body = zlib.zstdCompressSync(raw, { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } });
	const header = Buffer.alloc(HEADER_BYTES);
	MAGIC.copy(header);
	header.writeUInt32LE(VERSION, 8);
	header.writeUInt32LE(index.needsLowers ? NEEDS_LOWERS : 0, 12);
	header.writeBigUInt64LE(BigInt(index.tarSizeBytes), 16);
	header.writeBigInt64LE(index.tarMtimeNs, 24);
	header.writeBigUInt64LE(BigInt(index.dataSizeBytes), 32);
	header.writeBigInt64LE(index.dataMtimeNs, 40);
	header.writeBigUInt64LE(BigInt(index.contentSizeBytes), 48);
	const counts = [index.tarEntries, entries.count, entries.textLength];
	counts.push(index.xattrSets.length, xattrs.length, idMaps.length, body.length);
	for (const [i, count] of counts.entries()) header.writeUInt32LE(count, 56 + 4 * i);
	header.write(index.diffId.slice("sha256:".length), 84, "hex");
	header.writeUInt32LE(zlib.crc32(body), 116);
	header.writeUInt32LE(zlib.crc32(header.subarray(0, CHECKED_BYTES)), CHECKED_BYTES);
	const flags = linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL | linux.O_NOFOLLOW;
	const fd = linux.openat(linux.AT_FDCWD, path.join(directory, INDEX_FILE), flags, FILE_MODE);
	try {
		linux.write(fd, header);
		linux.write(fd, body);
		return linux.fstat(fd).blocks * 512;
	} finally {
		linux.close(fd);
	}
}

/**
 * What the index says of its layer, by one small read.
 * @throws {LamellaError} `ECORRUPT` where it is missing or damaged
 */
export function readIndexHeader(directory: string): LayerIndexHeader {
	return withIndex(directory, (fd) => parseHeader(readExactly(fd, HEADER_BYTES, 0)).header);
}

/** As readIndexHeader, where the whole index is there and has its checksum. @throws {LamellaError} `ECORRUPT` */
export function verifyIndex(directory: string): LayerIndexHeader {
	return withIndex(directory, (fd) => readBody(fd).header);
}

/** The whole index. @throws {LamellaError} `ECORRUPT` */
export function readIndex(directory: string): LayerIndex {
	return withIndex(directory, (fd) => {
		const { header, counts, compressed } = readBody(fd);
		const recordsBytes = counts.records * RECORD_BYTES;
		const rawBytes = recordsBytes + counts.textBytes + counts.xattrsBytes + counts.idMapsBytes;
		if (rawBytes > BODY_BYTES_MAX || counts.textBytes > TEXT_BYTES_MAX) throw corrupt("it states too much");
		// Node takes no limit of 0.
		const raw = zlib.zstdDecompressSync(compressed, { maxOutputLength: rawBytes + 1 });
		if (raw.length !== rawBytes) throw corrupt("it is not as long as it states");
		// A copy of their own, aligned as the records' numbers have to be.
		const records = new Uint8Array(recordsBytes);
		records.set(raw.subarray(0, recordsBytes));
		const rest = raw.subarray(recordsBytes);
		const text = rest.subarray(0, counts.textBytes);
		const entries = new IndexEntries(records.buffer, text);
		entries.count = counts.records;
		entries.textLength = text.length;
		checkEntries(entries, counts.xattrSets);
		const xattrs = rest.subarray(counts.textBytes, counts.textBytes + counts.xattrsBytes);
		const xattrSets = decodeXattrSets(xattrs, counts.xattrSets);
		if (xattrSets === undefined) throw corrupt("its xattrs are not as long as they should be");
		const idMaps = rest.subarray(counts.textBytes + counts.xattrsBytes);
		return {
			...header,
			entries,
			xattrSets,
			idMaps: idMaps.length === 0 ? undefined : (JSON.parse(idMaps.toString()) as IdMaps),
		};
	});
}

function readBody(fd: number): ReturnType<typeof parseHeader> & { readonly compressed: Buffer } {
	const { header, counts } = parseHeader(readExactly(fd, HEADER_BYTES, 0));
	const compressed = readExactly(fd, counts.bodyBytes, HEADER_BYTES);
	if (zlib.crc32(compressed) !== counts.crc) throw corrupt("its checksum is wrong");
	return { header, counts, compressed };
}

interface Counts {
	readonly records: number;
	readonly textBytes: number;
	readonly xattrSets: number;
	readonly xattrsBytes: number;
	readonly idMapsBytes: number;
	readonly bodyBytes: number;
	readonly crc: number;
}

function parseHeader(bytes: Buffer): { readonly header: LayerIndexHeader; readonly counts: Counts } {
	if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt("it is none");
	const version = bytes.readUInt32LE(8);
	if (version !== VERSION) {
		throw new LamellaError(
			"ENOTSUPPORTED",
			`it has the format version ${version}, and this lamella knows ${VERSION}; use a newer one`,
		);
	}
	if (zlib.crc32(bytes.subarray(0, CHECKED_BYTES)) !== bytes.readUInt32LE(CHECKED_BYTES)) {
		throw corrupt("the checksum of its header is wrong");
	}
	const header: LayerIndexHeader = {
		diffId: `sha256:${bytes.toString("hex", 84, 116)}` as DiffId,
		tarSizeBytes: Number(bytes.readBigUInt64LE(16)),
		tarMtimeNs: bytes.readBigInt64LE(24),
		dataSizeBytes: Number(bytes.readBigUInt64LE(32)),
		dataMtimeNs: bytes.readBigInt64LE(40),
		contentSizeBytes: Number(bytes.readBigUInt64LE(48)),
		tarEntries: bytes.readUInt32LE(56),
		needsLowers: (bytes.readUInt32LE(12) & NEEDS_LOWERS) !== 0,
		isIdMapped: bytes.readUInt32LE(76) > 0,
	};
	const counts: Counts = {
		records: bytes.readUInt32LE(60),
		textBytes: bytes.readUInt32LE(64),
		xattrSets: bytes.readUInt32LE(68),
		xattrsBytes: bytes.readUInt32LE(72),
		idMapsBytes: bytes.readUInt32LE(76),
		bodyBytes: bytes.readUInt32LE(80),
		crc: bytes.readUInt32LE(116),
	};
	return { header, counts };
}

/** What a reader of entries takes for granted. */
function checkEntries(entries: IndexEntries, xattrSets: number): void {
	let textBytes = 0;
	for (let entry = 0; entry < entries.count; entry++) {
		const kind = entries.kind(entry);
		const targetLength = entries.targetLength(entry);
		textBytes += entries.pathLength(entry) + targetLength;
		const hasTarget = kind === ENTRY.symlink || kind === ENTRY.hardlink;
		// A hard link to the root has an empty target, and is refused where layers are merged.
		if (kind > ENTRY_MAX || entries.xattrs(entry) > xattrSets || (targetLength > 0 && !hasTarget)) {
			throw corrupt(`its entry ${entry} is none`);
		}
	}
	if (textBytes !== entries.textLength) throw corrupt("its names are not as long as they should be");
}

function withIndex<T>(directory: string, read: (fd: number) => T): T {
	const file = path.join(directory, INDEX_FILE);
	let fd: number;
	try {
		fd = linux.openat(linux.AT_FDCWD, file, linux.O_RDONLY | linux.O_NOFOLLOW);
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT")) throw about(file, corrupt("it is missing"));
		throw asLamellaError(error, "read", () => file);
	}
	try {
		return read(fd);
	} catch (error) {
		if (isLamellaError(error)) throw about(file, error);
		if (linux.isSystemError(error)) throw asLamellaError(error, "read", () => file);
		throw about(file, corrupt("it cannot be decoded"), error);
	} finally {
		linux.close(fd);
	}
}

function readExactly(fd: number, length: number, position: number): Buffer {
	if (length > linux.fstat(fd).sizeBytes - position) throw corrupt("it is cut off");
	const buffer = Buffer.allocUnsafeSlow(length);
	for (let done = 0; done < length; ) {
		const count = linux.pread(fd, buffer, done, length - done, position + done);
		if (count === 0) throw corrupt("it is cut off");
		done += count;
	}
	return buffer;
}

function corrupt(why: string): LamellaError {
	return new LamellaError("ECORRUPT", why);
}

function about(file: string, { code, message }: LamellaError, cause?: unknown): LamellaError {
	return new LamellaError(code, `the index "${file}" cannot be used: ${message}; import its image again`, {
		path: file,
		cause,
	});
}
