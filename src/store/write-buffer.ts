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

/** Entries, which come in order of key, with the writes to their table among them. */
export function* overlaid<V>(
	entries: Iterable<readonly [string, V]>,
	writes: ReadonlyMap<string, unknown> | undefined,
	prefix: string,
): Iterable<readonly [string, V]> {
	const written = [...(writes ?? [])]
		.filter(([key]) => key.startsWith(prefix))
		.sort(([a], [b]) => inOrder(a, b));
	let next = written.shift();
	for (const entry of entries) {
		while (next !== undefined && inOrder(next[0], entry[0]) < 0) {
			yield* unlessRemoved(next);
			next = written.shift();
		}
		if (next?.[0] === entry[0]) {
			yield* unlessRemoved(next);
			next = written.shift();
		} else {
			yield entry;
		}
	}
	for (; next !== undefined; next = written.shift()) yield* unlessRemoved(next);
}

function* unlessRemoved<V>([key, value]: readonly [string, unknown]): Iterable<readonly [string, V]> {
	if (value !== undefined) yield [key, value as V];
}

/** As the database orders keys: by their bytes. */
function inOrder(a: string, b: string): number {
	return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
