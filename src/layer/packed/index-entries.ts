/**
 * The entries of a packed layer's index, in the tar's order, as records of fixed size and the bytes of their names:
 * what is kept on disk is what is in memory (index-file.ts), and no entry is an object.
 *
 * A record, little-endian:
 *
 *     0  f64  size of a file; of a symbolic link the length of its target
 *     8  f64  mtime, whole seconds (towards the past)
 *    16  u32  mtime, nanoseconds
 *    20  u32  uid            24  u32  gid
 *    28  u32  where a file's content begins, in blocks of 512 bytes; a device's number as the kernel encodes it
 *    32  u32  its set of xattrs, counted from 1; 0 for none
 *    36  u16  mode without the type
 *    38  u16  bytes of the path     40  u16  bytes of the link target
 *    42  u8   kind
 *
 * Paths are cleaned, relative to the layer's root, which is empty. A hard link's target is one, too.
 */
import { LamellaError } from "../../errors/index.ts";
import type { EntryMeaning } from "../apply/entry-meaning.ts";

/** What an entry says. The numbers are on disk. */
export const ENTRY = {
	/** Its content is in layer.tar. */
	file: 0,
	/** Its content is in layer.data, holes and all. */
	sparseFile: 1,
	directory: 2,
	symlink: 3,
	hardlink: 4,
	character: 5,
	block: 6,
	fifo: 7,
	/** The path is what it hides. */
	whiteout: 8,
	/** The path is the directory whose content of lower layers is gone. */
	opaque: 9,
} as const;
export const ENTRY_MAX: number = ENTRY.opaque;

export const RECORD_BYTES = 48;
const F64S = RECORD_BYTES / 8;
const U32S = RECORD_BYTES / 4;
const U16S = RECORD_BYTES / 2;
const SECONDS = 1;
const NANOSECONDS = 4;
const UID = 5;
const GID = 6;
const PLACE = 7;
const XATTRS = 8;
const MODE = 18;
const PATH_LENGTH = 19;
const TARGET_LENGTH = 20;
const KIND = 42;

/** What keeps a hostile layer from taking all memory: about ten million entries. */
const RECORDS_BYTES_MAX = 512 << 20;
export const TEXT_BYTES_MAX: number = 512 << 20;

export class IndexEntries {
	count = 0;
	#records: ArrayBuffer;
	#f64: Float64Array;
	#u32: Uint32Array;
	#u16: Uint16Array;
	#u8: Uint8Array;
	/** Path and target of each entry, one after the other; more room may lie behind `textLength`. */
	text: Buffer;
	textLength = 0;

	/** Empty, or what `recordBytes` and `textBytes` gave. */
	constructor(
		records: ArrayBuffer = new ArrayBuffer(1024 * RECORD_BYTES),
		text: Buffer = Buffer.alloc(65536),
	) {
		this.#records = records;
		this.#f64 = new Float64Array(records);
		this.#u32 = new Uint32Array(records);
		this.#u16 = new Uint16Array(records);
		this.#u8 = new Uint8Array(records);
		this.text = text;
	}

	/**
	 * Adds an entry of that kind; all of its numbers are 0. `target` may be bytes or, like a cleaned path, latin1 text.
	 * @throws {LamellaError} `ENOTSUPPORTED` where the layer has more entries than an index holds
	 */
	add(
		kind: number,
		meaning: Exclude<EntryMeaning, { is: "aufs" }>,
		target: Uint8Array | string = "",
	): number {
		const entry = this.count;
		if ((entry + 1) * RECORD_BYTES > this.#records.byteLength) this.#growRecords();
		const start = this.textLength;
		// Names of 255 bytes below a path of 32 KiB, and a target of that length.
		if (start + 65536 + target.length > this.text.length) this.#growText();
		let end = start;
		if (meaning.is !== "root") {
			end += this.text.write(meaning.directory, end, "latin1");
			if (meaning.is !== "opaque") {
				if (end > start) this.text[end++] = 0x2f;
				end += this.text.write(meaning.name, end, "latin1");
			}
		}
		this.#u16[entry * U16S + PATH_LENGTH] = end - start;
		if (target.length > 0) {
			if (typeof target === "string") this.text.write(target, end, "latin1");
			else this.text.set(target, end);
			this.#u16[entry * U16S + TARGET_LENGTH] = target.length;
		}
		this.textLength = end + target.length;
		this.#u8[entry * RECORD_BYTES + KIND] = kind;
		this.count = entry + 1;
		return entry;
	}

	setAttributes(entry: number, mode: number, uid: number, gid: number, xattrs: number): void {
		this.#u16[entry * U16S + MODE] = mode;
		this.#u32[entry * U32S + UID] = uid;
		this.#u32[entry * U32S + GID] = gid;
		this.#u32[entry * U32S + XATTRS] = xattrs;
	}

	setMtime(entry: number, seconds: number, nanoseconds: number): void {
		this.#f64[entry * F64S + SECONDS] = seconds;
		this.#u32[entry * U32S + NANOSECONDS] = nanoseconds;
	}

	/** `place` as the record has it. */
	setContent(entry: number, sizeBytes: number, place: number): void {
		this.#f64[entry * F64S] = sizeBytes;
		this.#u32[entry * U32S + PLACE] = place;
	}

	/** Makes it a sparse file, at that block of layer.data. */
	setSparse(entry: number, sizeBytes: number, block: number): void {
		this.#u8[entry * RECORD_BYTES + KIND] = ENTRY.sparseFile;
		this.setContent(entry, sizeBytes, block);
	}

	kind(entry: number): number {
		return this.#u8[entry * RECORD_BYTES + KIND] as number;
	}

	pathLength(entry: number): number {
		return this.#u16[entry * U16S + PATH_LENGTH] as number;
	}

	targetLength(entry: number): number {
		return this.#u16[entry * U16S + TARGET_LENGTH] as number;
	}

	mode(entry: number): number {
		return this.#u16[entry * U16S + MODE] as number;
	}

	uid(entry: number): number {
		return this.#u32[entry * U32S + UID] as number;
	}

	gid(entry: number): number {
		return this.#u32[entry * U32S + GID] as number;
	}

	/** 0 for none. */
	xattrs(entry: number): number {
		return this.#u32[entry * U32S + XATTRS] as number;
	}

	mtimeSeconds(entry: number): number {
		return this.#f64[entry * F64S + SECONDS] as number;
	}

	mtimeNanoseconds(entry: number): number {
		return this.#u32[entry * U32S + NANOSECONDS] as number;
	}

	sizeBytes(entry: number): number {
		return this.#f64[entry * F64S] as number;
	}

	place(entry: number): number {
		return this.#u32[entry * U32S + PLACE] as number;
	}

	/** A view of the records. */
	get recordBytes(): Uint8Array {
		return this.#u8.subarray(0, this.count * RECORD_BYTES);
	}

	/** A view of the paths and targets. */
	get textBytes(): Buffer {
		return this.text.subarray(0, this.textLength);
	}

	#growRecords(): void {
		const size = 2 * this.#records.byteLength;
		if (size > RECORDS_BYTES_MAX) throw tooMany("entries");
		this.#records = this.#records.transfer(size);
		this.#f64 = new Float64Array(this.#records);
		this.#u32 = new Uint32Array(this.#records);
		this.#u16 = new Uint16Array(this.#records);
		this.#u8 = new Uint8Array(this.#records);
	}

	#growText(): void {
		const size = 2 * this.text.length + 131_072;
		if (size > TEXT_BYTES_MAX) throw tooMany("bytes of paths");
		const larger = Buffer.allocUnsafeSlow(size);
		larger.set(this.textBytes);
		this.text = larger;
	}
}

function tooMany(what: string): LamellaError {
	return new LamellaError(
		"ENOTSUPPORTED",
		`the layer has more ${what} than a packed layer's index holds; keep it as a tree (--driver overlay), or split it`,
	);
}
