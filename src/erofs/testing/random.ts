/** Random numbers for tests: the same seed gives the same ones. */

export class Random {
	#state: number;

	constructor(seed: number) {
		// Never 0, which would stay 0.
		this.#state = Math.imul(seed + 1, 0x9e3779b1) | 1;
		for (let n = 0; n < 8; n++) this.below(1);
	}

	/** A whole number from 0 to `limit` - 1 (xorshift). */
	below(limit: number): number {
		this.#state ^= this.#state << 13;
		this.#state ^= this.#state >>> 17;
		this.#state ^= this.#state << 5;
		return Math.floor(((this.#state >>> 0) / 2 ** 32) * limit);
	}

	/** True once in `times`. */
	once(times: number): boolean {
		return this.below(times) === 0;
	}

	pick<T>(list: readonly T[]): T {
		const picked = list[this.below(list.length)];
		if (picked === undefined) throw new Error("nothing to pick from");
		return picked;
	}

	bytes(length: number): Buffer {
		const bytes = Buffer.alloc(length);
		for (let at = 0; at < length; at++) bytes[at] = this.below(256);
		return bytes;
	}
}
