/**
 * The push parser: chunks of an archive in, entries and payload out.
 *
 * A state machine over 512-byte blocks. What it holds is bounded by TarLimits: one block, one extended header's
 * body, the global records, one sparse map. Payload is passed on as views of the caller's chunk.
 */
import { escapePath, LamellaError } from "../errors/index.ts";
import {
	BLOCK_BYTES,
	checksumMatches,
	copyBytes,
	FIELDS,
	hasChecksum,
	isZeroBlock,
	readNumber,
	TYPE_AT,
} from "./block.ts";
import type { DataExtent, TarEntry } from "./entry.ts";
import { DEFAULT_TAR_LIMITS, type TarLimits } from "./limits.ts";
import { Malformed, NotAHeader } from "./malformed.ts";
import { type Member, MemberReader, plainName, withExtents } from "./member.ts";
import { applyGlobal, PaxFields, readPax } from "./pax.ts";
import { readFlatSparseMap, readOldSparseBlock, SparseMap, SparseTextReader } from "./sparse.ts";

/** What a TarReader tells; called from within `write` and `end`, in the archive's order. */
export interface TarHandler {
	/** A member begins, whose stored content is at that offset of the archive. The entry and its buffers may be kept. */
	entry(entry: TarEntry, contentOffset: number): void;
	/**
	 * A part of a regular file's content, at `offset` of the file; holes are passed over. `chunk` is a view of what
	 * was given to `write` and is good only until this call returns.
	 */
	data(chunk: Uint8Array, offset: number): void;
	/** The member's content is complete (its padding comes after this). Called for members without content, too. */
	entryEnd(): void;
	/**
	 * Every byte of the archive that is not content passed to `data`, in order: headers, extended headers, sparse maps,
	 * padding, end blocks. So all `raw` and `data` chunks one after another are the archive.
	 */
	raw?(bytes: Uint8Array): void;
	/**
	 * The member that follows has an ACL (`xattr` is its name as one) in words that mean nothing without the image's own
	 * passwd, so that it is not among the entry's xattrs.
	 */
	unresolvedAcl?(path: Buffer, xattr: string): void;
}

const HEADER = 0;
const EXTENDED = 1;
const SPARSE_EXTENSION = 2;
const SPARSE_TEXT = 3;
const PAYLOAD = 4;
const SKIP = 5;
const PADDING = 6;
const END = 7;

/**
 * Parses one archive. Give it all bytes by `write`, then call `end`.
 *
 * Reads v7, ustar, PAX, GNU and star archives; sparse files of all four forms. Global headers apply to all entries
 * after them, except for path, linkpath, size and sparse maps, which cannot be meant for more than one. Hard
 * links, symbolic links, directories and devices have no payload whatever their size field says, as in Go and GNU tar.
 */
export class TarReader {
	readonly #handler: TarHandler;
	readonly #limits: TarLimits;
	readonly #members: MemberReader;
	#state = HEADER;
	/** A block, or the body of an extended header, that came in more than one chunk. */
	#gathered: Uint8Array = new Uint8Array(BLOCK_BYTES);
	#filled = 0;
	/** Offset in the archive of the next byte that `write` will look at. */
	#offset = 0;
	#memberOffset = 0;
	#zeroBlocks = 0;

	/** Bytes that are left of the payload or padding. */
	#remaining = 0;
	#extendedType = 0;

	#local: PaxFields | undefined;
	#global: PaxFields | undefined;
	#longPath: Buffer | undefined;
	#longLinkPath: Buffer | undefined;

	#member: Member | undefined;
	#map: SparseMap | undefined;
	#mapText: SparseTextReader | undefined;
	#extents: readonly DataExtent[] | undefined;
	#extent = 0;
	/** Where the next byte of payload belongs in the file. */
	#fileOffset = 0;
	#failure: unknown;

	constructor(handler: TarHandler, limits: Partial<TarLimits> = {}) {
		this.#handler = handler;
		this.#limits = { ...DEFAULT_TAR_LIMITS, ...limits };
		this.#members = new MemberReader(this.#limits);
	}

	/** Offset in the archive of the byte that comes next. */
	get offset(): number {
		return this.#offset;
	}

	/** How many of the bytes that come next may be passed over by `skip` instead of being given to `write`. */
	get skippableBytes(): number {
		return this.#state === PAYLOAD || this.#state === SKIP || this.#state === PADDING ? this.#remaining : 0;
	}

	/** Whether the end-of-archive marker has been seen. */
	get ended(): boolean {
		return this.#state === END;
	}

	/**
	 * Takes the next bytes; any length, though blocks of 256 KiB and more are fastest. `chunk` may be reused afterwards.
	 * @throws {LamellaError} `ETAR`, naming the entry and the offset; the reader cannot be used after that.
	 */
	write(chunk: Uint8Array): void {
		if (this.#failure !== undefined) throw this.#failure;
		try {
			this.#parse(chunk);
		} catch (error) {
			this.#failure = error;
			throw error;
		}
	}

	/**
	 * Says that there is no more. An archive may end at any member's boundary, with end blocks or without.
	 * @throws {LamellaError} `ETAR` where it ends within a member.
	 */
	end(): void {
		if (this.#failure !== undefined) throw this.#failure;
		const atBoundary = this.#state === HEADER && this.#filled === 0 && !this.#hasPrelude();
		if (atBoundary || this.#state === END) return;
		this.#failure = this.#fault("the archive is truncated: it ends within an entry", this.#entryName());
		throw this.#failure;
	}

	/** Passes over `sizeBytes` of payload or padding without seeing them: no more than `skippableBytes`. */
	skip(sizeBytes: number): void {
		if (sizeBytes > this.skippableBytes) throw new RangeError("skip goes beyond the payload");
		this.#offset += sizeBytes;
		this.#remaining -= sizeBytes;
		if (this.#remaining === 0) this.#partDone();
	}

	#parse(chunk: Uint8Array): void {
		const end = chunk.length;
		let at = 0;
		while (at < end) {
			switch (this.#state) {
				case PAYLOAD:
					at = this.#payload(chunk, at, end);
					break;
				case SKIP:
				case PADDING: {
					const take = Math.min(this.#remaining, end - at);
					this.#raw(chunk, at, at + take);
					at += take;
					this.#offset += take;
					this.#remaining -= take;
					if (this.#remaining === 0) this.#partDone();
					break;
				}
				case END:
					this.#raw(chunk, at, end);
					this.#offset += end - at;
					at = end;
					break;
				case EXTENDED:
					at = this.#gather(chunk, at, end, this.#remaining);
					break;
				default:
					at = this.#gather(chunk, at, end, BLOCK_BYTES);
			}
		}
	}

	/** Takes `needed` bytes as one piece, in place where the chunk has them all. */
	#gather(chunk: Uint8Array, at: number, end: number, needed: number): number {
		if (this.#filled === 0 && end - at >= needed) {
			this.#raw(chunk, at, at + needed);
			this.#offset += needed;
			this.#piece(chunk, at, needed);
			return at + needed;
		}
		if (this.#gathered.length < needed) this.#gathered = new Uint8Array(needed);
		const take = Math.min(needed - this.#filled, end - at);
		this.#gathered.set(chunk.subarray(at, at + take), this.#filled);
		this.#raw(chunk, at, at + take);
		this.#offset += take;
		this.#filled += take;
		if (this.#filled === needed) {
			this.#filled = 0;
			this.#piece(this.#gathered, 0, needed);
		}
		return at + take;
	}

	#piece(bytes: Uint8Array, at: number, length: number): void {
		try {
			switch (this.#state) {
				case HEADER:
					this.#header(bytes, at);
					break;
				case EXTENDED:
					this.#extended(bytes, at, length);
					break;
				case SPARSE_EXTENSION:
					this.#sparseExtension(bytes, at);
					break;
				default:
					this.#sparseText(bytes, at);
			}
		} catch (error) {
			if (!(error instanceof Malformed)) throw error;
			const isHeader = this.#state === HEADER && !(error instanceof NotAHeader);
			const named = isHeader ? plainName(bytes, at) : undefined;
			throw this.#fault(error.message, this.#entryName() ?? named);
		}
	}

	#header(block: Uint8Array, at: number): void {
		if (!this.#hasPrelude()) this.#memberOffset = this.#offset - BLOCK_BYTES;
		if (block[at] === 0 && isZeroBlock(block, at)) {
			if (this.#hasPrelude()) throw new Malformed("an extended header (PAX) has no entry behind it");
			this.#zeroBlocks++;
			if (this.#zeroBlocks === 2) this.#state = END;
			return;
		}
		if (this.#zeroBlocks > 0)
			throw new Malformed("an entry stands behind a block of zeros, which is half of the archive's end");
		if (!hasChecksum(block, at)) throw new NotAHeader("this is no tar header");
		if (!checksumMatches(block, at)) {
			throw new Malformed("this is no tar header (its checksum is wrong)");
		}
		const typeFlag = block[at + TYPE_AT] as number;
		switch (typeFlag) {
			// x, X (Solaris), g, L, K
			case 0x78:
			case 0x58:
			case 0x67:
			case 0x4c:
			case 0x4b:
				this.#beginExtended(typeFlag, readNumber(block, at, FIELDS.size));
				return;
			case 0x4d:
				throw new Malformed("it continues a file from another volume; join the volumes first");
			// A volume's label, Solaris ACLs, the oldest GNU long names: not members.
			case 0x56:
			case 0x41:
			case 0x4e: {
				const sizeBytes = readNumber(block, at, FIELDS.size);
				if (sizeBytes < 0 || sizeBytes > this.#limits.maxFileSizeBytes) {
					throw new Malformed("its size is negative or too large");
				}
				this.#clearPrelude();
				this.#beginPart(SKIP, sizeBytes);
				return;
			}
		}
		const member = this.#members.read(block, at, {
			local: this.#local,
			global: this.#global,
			longPath: this.#longPath,
			longLinkPath: this.#longLinkPath,
		});
		for (const path of [member.entry.path, member.entry.linkPath]) {
			if (path.length > this.#limits.maxPathBytes) {
				throw new Malformed(`a path is longer than ${this.#limits.maxPathBytes} bytes`);
			}
		}
		this.#beginMember(member, block, at);
	}

	#beginExtended(typeFlag: number, sizeBytes: number): void {
		if (sizeBytes < 0 || sizeBytes > this.#limits.maxExtendedHeaderBytes) {
			throw new Malformed(`an extended header is larger than ${this.#limits.maxExtendedHeaderBytes} bytes`);
		}
		this.#extendedType = typeFlag;
		this.#remaining = sizeBytes;
		this.#state = EXTENDED;
		if (sizeBytes === 0) this.#extended(this.#gathered, 0, 0);
	}

	#extended(bytes: Uint8Array, at: number, length: number): void {
		switch (this.#extendedType) {
			case 0x67:
				this.#global ??= new PaxFields();
				applyGlobal(bytes.subarray(at, at + length), this.#global, this.#limits);
				break;
			case 0x4c:
				this.#longPath = this.#longName(bytes, at, length);
				break;
			case 0x4b:
				this.#longLinkPath = this.#longName(bytes, at, length);
				break;
			default:
				// A second extended header replaces the first, as in Go.
				this.#local = new PaxFields();
				readPax(bytes.subarray(at, at + length), this.#local, this.#limits);
		}
		this.#beginPadding();
	}

	#longName(bytes: Uint8Array, at: number, length: number): Buffer {
		let textLength = 0;
		while (textLength < length && bytes[at + textLength] !== 0) textLength++;
		if (textLength > this.#limits.maxPathBytes) {
			throw new Malformed(`a path is longer than ${this.#limits.maxPathBytes} bytes`);
		}
		return copyBytes(bytes, at, at + textLength);
	}

	#beginMember(member: Member, block: Uint8Array, at: number): void {
		this.#member = member;
		for (const xattr of this.#local?.unresolvedAcls ?? []) {
			this.#handler.unresolvedAcl?.(member.entry.path, xattr);
		}
		switch (member.sparse?.form) {
			case "old":
				this.#map = new SparseMap(this.#limits);
				if (readOldSparseBlock(block, at, this.#map, member.sparse.layout)) this.#state = SPARSE_EXTENSION;
				else this.#beginSparse(this.#map, member.storedBytes);
				return;
			case "flat":
				this.#map = new SparseMap(this.#limits);
				readFlatSparseMap(member.sparse.map, member.sparse.count, this.#map);
				this.#beginSparse(this.#map, member.storedBytes);
				return;
			case "text":
				this.#mapText = new SparseTextReader(this.#limits);
				if (member.storedBytes < BLOCK_BYTES) throw new Malformed("the sparse map is missing");
				this.#state = SPARSE_TEXT;
				return;
			default:
				this.#beginContent(member.storedBytes);
		}
	}

	#sparseExtension(block: Uint8Array, at: number): void {
		const { member, map } = this.#sparseMember();
		if (!readOldSparseBlock(block, at, map)) this.#beginSparse(map, member.storedBytes);
	}

	#sparseText(block: Uint8Array, at: number): void {
		const { member, text } = this.#sparseMember();
		const complete = text.readBlock(block, at);
		const left = member.storedBytes - text.consumedBytes;
		if (complete) this.#beginSparse(text.map, left);
		else if (left < BLOCK_BYTES) throw new Malformed("the sparse map is longer than the entry");
	}

	#sparseMember(): { member: Member; map: SparseMap; text: SparseTextReader } {
		const member = this.#member;
		if (member === undefined) throw new Error("no member is being read");
		return {
			member,
			map: this.#map ?? new SparseMap(this.#limits),
			text: this.#mapText ?? new SparseTextReader(this.#limits),
		};
	}

	#beginSparse(map: SparseMap, storedBytes: number): void {
		const { member } = this.#sparseMember();
		const extents = map.finish(member.entry.sizeBytes, storedBytes);
		member.entry = withExtents(member.entry, extents);
		this.#extents = extents;
		this.#beginContent(storedBytes);
	}

	/** Everything about the member is known: tells it, and waits for its payload. */
	#beginContent(storedBytes: number): void {
		const { member } = this.#sparseMember();
		this.#clearPrelude();
		this.#map = undefined;
		this.#mapText = undefined;
		this.#extent = 0;
		this.#fileOffset = this.#extents?.[0]?.offset ?? 0;
		this.#state = member.hasContent ? PAYLOAD : SKIP;
		this.#remaining = storedBytes;
		this.#handler.entry(member.entry, this.#offset);
		if (storedBytes === 0) this.#partDone();
	}

	#payload(chunk: Uint8Array, at: number, end: number): number {
		let take = Math.min(this.#remaining, end - at);
		const extent = this.#extents?.[this.#extent];
		if (extent !== undefined) take = Math.min(take, extent.offset + extent.sizeBytes - this.#fileOffset);
		this.#handler.data(at === 0 && take === end ? chunk : chunk.subarray(at, at + take), this.#fileOffset);
		this.#offset += take;
		this.#remaining -= take;
		this.#fileOffset += take;
		if (extent !== undefined && this.#fileOffset === extent.offset + extent.sizeBytes) {
			this.#extent++;
			this.#fileOffset = this.#extents?.[this.#extent]?.offset ?? 0;
		}
		if (this.#remaining === 0) this.#partDone();
		return at + take;
	}

	/** The payload, a part that is of no use, or the padding is complete. */
	#partDone(): void {
		if (this.#state === PADDING) {
			this.#state = HEADER;
			return;
		}
		this.#beginPadding();
		if (this.#member !== undefined) {
			this.#member = undefined;
			this.#extents = undefined;
			this.#handler.entryEnd();
		}
	}

	#beginPart(state: number, sizeBytes: number): void {
		this.#state = state;
		this.#remaining = sizeBytes;
		if (sizeBytes === 0) this.#partDone();
	}

	/** Headers and payloads begin on block boundaries. */
	#beginPadding(): void {
		const over = this.#offset % BLOCK_BYTES;
		this.#remaining = over === 0 ? 0 : BLOCK_BYTES - over;
		this.#state = over === 0 ? HEADER : PADDING;
	}

	/** Whether headers about a member that has not come yet have been read. */
	#hasPrelude(): boolean {
		return this.#local !== undefined || this.#longPath !== undefined || this.#longLinkPath !== undefined;
	}

	#clearPrelude(): void {
		this.#local = undefined;
		this.#longPath = undefined;
		this.#longLinkPath = undefined;
	}

	#raw(chunk: Uint8Array, at: number, end: number): void {
		if (this.#handler.raw !== undefined && end > at) this.#handler.raw(chunk.subarray(at, end));
	}

	#entryName(): Buffer | undefined {
		return (
			this.#member?.entry.path ?? this.#longPath ?? this.#local?.sparseName ?? this.#local?.path ?? undefined
		);
	}

	#fault(message: string, name: Buffer | undefined): LamellaError {
		const path = name === undefined || name.length === 0 ? undefined : escapePath(name.subarray(0, 512));
		const entry = path === undefined ? "" : ` entry "${path}"`;
		return new LamellaError("ETAR", `tar${entry} at byte ${this.#memberOffset}: ${message}`, { path });
	}
}
