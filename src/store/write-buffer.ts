/** Writes that are kept in memory, on top of what a reader has; reads see them. */
import type { MetaReader, MetaTable, MetaTransaction } from "./meta-store.ts";

/** What is written to each table; `undefined` stands for removed. */
export type Writes = ReadonlyMap<MetaTable, ReadonlyMap<string, unknown>>;

export class WriteBuffer implements MetaTransaction {
	readonly #reader: MetaReader;
	readonly #writes = new Map<MetaTable, Map<string, unknown>>();

	constructor(reader: MetaReader) {
		this.#reader = reader;
	}

	get writes(): Writes {
		return this.#writes;
	}

	get<V>(table: MetaTable, key: string): V | undefined {
		const writes = this.#writes.get(table);
		if (writes?.has(key) === true) return writes.get(key) as V | undefined;
		return this.#reader.get<V>(table, key);
	}

	entries<V>(table: MetaTable, prefix = ""): Iterable<readonly [string, V]> {
		return overlaid(this.#reader.entries<V>(table, prefix), this.#writes.get(table), prefix);
	}

	put(table: MetaTable, key: string, value: unknown): void {
		this.#of(table).set(key, value);
	}

	remove(table: MetaTable, key: string): void {
		this.#of(table).set(key, undefined);
	}

	#of(table: MetaTable): Map<string, unknown> {
		const found = this.#writes.get(table);
		if (found !== undefined) return found;
		const made = new Map<string, unknown>();
		this.#writes.set(table, made);
		return made;
	}
}

/** Entries with the writes to their table on top of them, in order of key. */
export function overlaid<V>(
	entries: Iterable<readonly [string, V]>,
	writes: ReadonlyMap<string, unknown> | undefined,
	prefix: string,
): Iterable<readonly [string, V]> {
	if (writes === undefined || writes.size === 0) return entries;
	const merged = new Map<string, V>(entries);
	for (const [key, value] of writes) {
		if (!key.startsWith(prefix)) continue;
		if (value === undefined) merged.delete(key);
		else merged.set(key, value as V);
	}
	return [...merged].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
