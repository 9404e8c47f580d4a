/**
 * Owns the names of a tree's entries: each entry is a number for a name in a directory (itself such a number), found by
 * a hash table over both. Columns only; a number that was removed is given again.
 */
import { randomInt } from "node:crypto";
import { ByteStore, grown } from "./columns.ts";
import { NONE } from "./inode-table.ts";

export class EntryNames {
	#capacity: number;
	#count = 0;
	/** Numbers given so far, the free ones among them. */
	#limit = 0;
	/** Removed entries; each has the next one where it had its parent, + 1. */
	#free = NONE;
	#parent: Uint32Array;
	#start: Uint32Array;
	#length: Uint8Array;
	#hash: Uint32Array;
	readonly #bytes = new ByteStore();

	// Open addressing, linear probing, at most half full; a slot holds entry + 1.
	#table: Int32Array;
	#mask: number;
	// Unlike in every tree, so that an archive cannot be made of names that collide.
	readonly #seed = randomInt(2 ** 32);
	readonly #factor = randomInt(2 ** 31) * 2 + 1;

	/** With room for `capacity` entries; it grows. Entry 0 is the root, which has no name and is never removed. */
	constructor(capacity: number) {
		this.#capacity = capacity;
		this.#parent = new Uint32Array(capacity);
		this.#start = new Uint32Array(capacity);
		this.#length = new Uint8Array(capacity);
		this.#hash = new Uint32Array(capacity);
		this.#table = new Int32Array(2 ** Math.ceil(Math.log2(2 * capacity + 2)));
		this.#mask = this.#table.length - 1;
		this.#newEntry();
	}

	/** Entries, the root among them. */
	get count(): number {
		return this.#count;
	}

	/** More than the highest number of an entry. */
	get limit(): number {
		return this.#limit;
	}

	/** All names, each where `start` says; another array after the next `add`. */
	get bytes(): Uint8Array {
		return this.#bytes.bytes;
	}

	start(entry: number): number {
		return this.#start[entry] ?? 0;
	}

	length(entry: number): number {
		return this.#length[entry] ?? 0;
	}

	/** The root's is the root. */
	parentOf(entry: number): number {
		return this.#parent[entry] ?? 0;
	}

	/** The entry of that name (`bytes` from `start` to `end`) in `directory`, or NONE. */
	find(directory: number, bytes: Uint8Array, start: number, end: number): number {
		const slot = this.#slotOf(directory, bytes, start, end, this.#hashOf(directory, bytes, start, end));
		return (this.#table[slot] ?? 0) - 1;
	}

	/** A new entry of that name, of 1 to 255 bytes; NONE where there is one already. */
	add(directory: number, bytes: Uint8Array, start: number, end: number): number {
		const hash = this.#hashOf(directory, bytes, start, end);
		let slot = this.#slotOf(directory, bytes, start, end, hash);
		if (this.#table[slot] !== 0) return NONE;
		if (2 * this.#count >= this.#mask) {
			this.#growTable();
			slot = this.#slotOf(directory, bytes, start, end, hash);
		}
		const entry = this.#newEntry();
		this.#parent[entry] = directory;
		this.#start[entry] = this.#bytes.append(bytes, start, end);
		this.#length[entry] = end - start;
		this.#hash[entry] = hash;
		this.#table[slot] = entry + 1;
		return entry;
	}

	/** Entries after it in the table move up, so that no search stops at the gap (Knuth 6.4, algorithm R). */
	remove(entry: number): void {
		const table = this.#table;
		const mask = this.#mask;
		let gap = (this.#hash[entry] ?? 0) & mask;
		while (table[gap] !== entry + 1) gap = (gap + 1) & mask;
		for (let slot = (gap + 1) & mask; ; slot = (slot + 1) & mask) {
			const other = (table[slot] ?? 0) - 1;
			if (other === NONE) break;
			const home = (this.#hash[other] ?? 0) & mask;
			// It may move to the gap unless its home lies behind the gap.
			if (((slot - home) & mask) >= ((slot - gap) & mask)) {
				table[gap] = other + 1;
				gap = slot;
			}
		}
		table[gap] = 0;
		this.#parent[entry] = this.#free + 1;
		this.#free = entry;
		this.#count--;
	}

	#newEntry(): number {
		this.#count++;
		const freed = this.#free;
		if (freed !== NONE) {
			this.#free = this.parentOf(freed) - 1;
			return freed;
		}
		if (this.#limit === this.#capacity) this.#growEntries();
		return this.#limit++;
	}

	#hashOf(directory: number, bytes: Uint8Array, start: number, end: number): number {
		const factor = this.#factor;
		let hash = Math.imul(this.#seed ^ directory, factor);
		hash ^= hash >>> 15;
		for (let at = start; at < end; at++) {
			hash = Math.imul(hash ^ (bytes[at] ?? 0), factor);
			hash ^= hash >>> 15;
		}
		return hash >>> 0;
	}

	/** The slot that holds the entry of that name, or the empty one where it would go. */
	#slotOf(directory: number, bytes: Uint8Array, start: number, end: number, hash: number): number {
		const mask = this.#mask;
		for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
			const entry = (this.#table[slot] ?? 0) - 1;
			if (entry === NONE) return slot;
			if (this.#hash[entry] === hash && this.#parent[entry] === directory) {
				if (this.#hasName(entry, bytes, start, end)) return slot;
			}
		}
	}

	#hasName(entry: number, bytes: Uint8Array, start: number, end: number): boolean {
		if (this.#length[entry] !== end - start) return false;
		const names = this.#bytes.bytes;
		for (let at = start, own = this.start(entry); at < end; at++, own++) {
			if (names[own] !== bytes[at]) return false;
		}
		return true;
	}

	#growTable(): void {
		const old = this.#table;
		const table = new Int32Array(2 * old.length);
		const mask = table.length - 1;
		for (const held of old) {
			if (held === 0) continue;
			let slot = (this.#hash[held - 1] ?? 0) & mask;
			while (table[slot] !== 0) slot = (slot + 1) & mask;
			table[slot] = held;
		}
		this.#table = table;
		this.#mask = mask;
	}

	#growEntries(): void {
		const capacity = 2 * this.#capacity;
		this.#parent = grown(this.#parent, capacity);
		this.#start = grown(this.#start, capacity);
		this.#length = grown(this.#length, capacity);
		this.#hash = grown(this.#hash, capacity);
		this.#capacity = capacity;
	}
}
