/**
 * Owns how a column grows: by doubling, into a new typed array. And the bytes of names and targets, which lie one
 * after the other in one such column.
 */
import { LamellaError } from "../errors/index.ts";

type Column = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array;

/** A copy of `column` with room for `length` elements; the new ones are 0. */
export function grown<T extends Column>(column: T, length: number): T {
	const larger = new (column.constructor as new (length: number) => T)(length);
	larger.set(column);
	return larger;
}

const BYTES_MAX = 2 ** 32 - 1;

/** Bytes that are only ever added to. An offset has 32 bits. */
export class ByteStore {
	#bytes: Uint8Array = new Uint8Array(4096);
	#length = 0;

	/** All bytes, and room behind them. It is another array after the next `append`. */
	get bytes(): Uint8Array {
		return this.#bytes;
	}

	/** The offset at which they lie now. @throws {LamellaError} `ENOTSUPPORTED` beyond 4 GiB in all */
	append(from: Uint8Array, start: number, end: number): number {
		const offset = this.#length;
		const needed = offset + end - start;
		if (needed > this.#bytes.length) {
			if (needed > BYTES_MAX) {
				throw new LamellaError("ENOTSUPPORTED", "names and link targets of one image go over 4 GiB");
			}
			this.#bytes = grown(this.#bytes, Math.min(BYTES_MAX, Math.max(needed, 2 * this.#bytes.length)));
		}
		const bytes = this.#bytes;
		// Names are short: a loop is faster than a view of the range and set().
		for (let at = start, to = offset; at < end; at++, to++) bytes[to] = from[at] ?? 0;
		this.#length = needed;
		return offset;
	}
}
