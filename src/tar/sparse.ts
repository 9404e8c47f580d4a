/**
 * Maps of sparse files: where the stored bytes belong in the file.
 *
 * Four forms: in the header block and extension blocks behind it (GNU's and star's type `S`), in PAX records
 * (0.0, 0.1), and as text in front of the data (1.0).
 * Source: GNU tar manual, "Storing Sparse Files"; star(4).
 */
import { BLOCK_BYTES, type Field, readNumber } from "./block.ts";
import type { DataExtent } from "./entry.ts";
import type { TarLimits } from "./limits.ts";
import { Malformed } from "./malformed.ts";

/** Where the old form has its pairs, the flag for more, and the file's length. */
export interface OldSparseLayout {
	readonly pairsAt: number;
	readonly pairs: number;
	readonly moreAt: number;
	readonly realSize: Field | undefined;
}

export const GNU_SPARSE_HEADER: OldSparseLayout = {
	pairsAt: 386,
	pairs: 4,
	moreAt: 482,
	realSize: { at: 483, bytes: 12, name: "realsize" },
};
export const STAR_SPARSE_HEADER: OldSparseLayout = {
	pairsAt: 356,
	pairs: 4,
	moreAt: 355,
	realSize: { at: 452, bytes: 12, name: "realsize" },
};
const SPARSE_EXTENSION: OldSparseLayout = { pairsAt: 0, pairs: 21, moreAt: 504, realSize: undefined };

/** Takes pairs one after another and checks that they make a map. */
export class SparseMap {
	readonly extents: DataExtent[] = [];
	readonly #limits: TarLimits;
	#end = 0;
	#storedBytes = 0;
	#pairs = 0;

	constructor(limits: TarLimits) {
		this.#limits = limits;
	}

	/** @throws {Malformed} where the piece lies before the end of the one before it. */
	add(offset: number, sizeBytes: number): void {
		this.#pairs++;
		if (this.#pairs > this.#limits.maxSparseExtents) {
			throw new Malformed(`the sparse map has more than ${this.#limits.maxSparseExtents} pieces`);
		}
		if (offset < this.#end || sizeBytes < 0 || offset + sizeBytes > this.#limits.maxFileSizeBytes) {
			throw new Malformed("the sparse map's pieces overlap, are out of order or too large");
		}
		this.#end = offset + sizeBytes;
		this.#storedBytes += sizeBytes;
		// A piece of no length says where the file ends, nothing else.
		if (sizeBytes > 0) this.extents.push({ offset, sizeBytes });
	}

	/** @throws {Malformed} where the map does not fit the file's length or the stored length. */
	finish(realSizeBytes: number, storedBytes: number): readonly DataExtent[] {
		if (this.#end > realSizeBytes) throw new Malformed("the sparse map goes beyond the file's end");
		if (this.#storedBytes !== storedBytes) {
			throw new Malformed("the sparse map is of more or fewer bytes than are stored");
		}
		return this.extents;
	}
}

/** Reads the pairs of a header or, without `layout`, of an extension block. Returns whether a further block follows. */
export function readOldSparseBlock(
	block: Uint8Array,
	at: number,
	map: SparseMap,
	layout: OldSparseLayout = SPARSE_EXTENSION,
): boolean {
	let pairs = 0;
	for (; pairs < layout.pairs; pairs++) {
		const pairAt = layout.pairsAt + 24 * pairs;
		// The first empty field ends the list.
		if (block[at + pairAt] === 0) break;
		map.add(
			readNumber(block, at, { at: pairAt, bytes: 12, name: "sparse offset" }),
			readNumber(block, at, { at: pairAt + 12, bytes: 12, name: "sparse numbytes" }),
		);
	}
	const flag = block[at + layout.moreAt];
	const more = flag !== 0 && flag !== 0x30 && flag !== 0x20;
	if (more && pairs === 0 && layout === SPARSE_EXTENSION) {
		throw new Malformed("a block of the sparse map holds nothing and is followed by another");
	}
	return more;
}

/** Reads the pairs of PAX sparse maps 0.0 and 0.1. */
export function readFlatSparseMap(
	flat: readonly number[],
	statedCount: number | undefined,
	map: SparseMap,
): void {
	if (flat.length % 2 !== 0 || (statedCount !== undefined && statedCount !== flat.length / 2)) {
		throw new Malformed("the sparse map has not as many pieces as it states");
	}
	for (let i = 0; i < flat.length; i += 2) map.add(flat[i] ?? 0, flat[i + 1] ?? 0);
}

/**
 * Reads the text of a sparse map 1.0: decimal numbers, a newline behind each: how many pairs, then the pairs; filled
 * up to whole blocks. Holds one number at a time.
 */
export class SparseTextReader {
	readonly map: SparseMap;
	readonly #limits: TarLimits;
	#consumed = 0;
	#number = 0;
	#digits = 0;
	#remaining: number | undefined;
	#offset: number | undefined;

	constructor(limits: TarLimits) {
		this.#limits = limits;
		this.map = new SparseMap(limits);
	}

	/** Bytes of whole blocks read. */
	get consumedBytes(): number {
		return this.#consumed;
	}

	/** Reads from one block (its 512 bytes are in `bytes` at `at`). Returns whether the map is complete. */
	readBlock(bytes: Uint8Array, at: number): boolean {
		this.#consumed += BLOCK_BYTES;
		if (this.#consumed > this.#limits.maxSparseMapBytes) {
			throw new Malformed(`the sparse map is longer than ${this.#limits.maxSparseMapBytes} bytes`);
		}
		for (let i = at; i < at + BLOCK_BYTES; i++) {
			const byte = bytes[i] as number;
			if (byte !== 0x0a) {
				const digit = byte - 0x30;
				if (digit < 0 || digit > 9)
					throw new Malformed("the sparse map holds something that is not a number");
				this.#number = this.#number * 10 + digit;
				this.#digits++;
				if (this.#number > Number.MAX_SAFE_INTEGER) {
					throw new Malformed("the sparse map holds a number that is too large");
				}
				continue;
			}
			if (this.#digits === 0) throw new Malformed("the sparse map holds an empty line");
			if (this.#takeNumber(this.#number)) return true;
			this.#number = 0;
			this.#digits = 0;
		}
		return false;
	}

	#takeNumber(number: number): boolean {
		if (this.#remaining === undefined) {
			if (number > this.#limits.maxSparseExtents) {
				throw new Malformed(`the sparse map has more than ${this.#limits.maxSparseExtents} pieces`);
			}
			this.#remaining = number;
		} else if (this.#offset === undefined) {
			this.#offset = number;
		} else {
			this.map.add(this.#offset, number);
			this.#offset = undefined;
			this.#remaining--;
		}
		return this.#remaining === 0;
	}
}
