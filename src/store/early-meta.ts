/**
 * A MetaStore that shows some writes before they are recorded: of layers that were made early (see `CreateOptions.early`).
 * Reads of this process see them at once; transactions, and other processes, once they are in the database.
 */
import type { MetaReader, MetaStore, MetaTable, MetaTransaction } from "./meta-store.ts";

/**
 * Recording waits so long: what the caller does next (containerd records the snapshot in a database of its own) does
 * not have to wait for our flushes then. Whoever needs the record sooner does not wait: see `recorded`.
 */
const DELAY_MS = 50;

type Writes = ReadonlyMap<MetaTable, ReadonlyMap<string, unknown>>;

export class EarlyMeta implements MetaStore {
	readonly #inner: MetaStore;
	readonly #early = new Map<MetaTable, Map<string, unknown>>();
	/** By layer id: settles once its writes are in the database, or given up. Never rejects. */
	readonly #recording = new Map<string, { readonly settled: Promise<void>; readonly hurry: () => void }>();

	constructor(inner: MetaStore) {
		this.#inner = inner;
	}

	get<V>(table: MetaTable, key: string): V | undefined {
		const early = this.#early.get(table)?.get(key);
		return early === undefined ? this.#inner.get<V>(table, key) : (early as V);
	}

	*entries<V>(table: MetaTable, prefix = ""): Iterable<readonly [string, V]> {
		const early = this.#early.get(table);
		if (early === undefined || early.size === 0) {
			yield* this.#inner.entries<V>(table, prefix);
			return;
		}
		const merged = new Map<string, V>(this.#inner.entries<V>(table, prefix));
		for (const [key, value] of early) if (key.startsWith(prefix)) merged.set(key, value as V);
		yield* [...merged].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
	}

	refresh(): void {
		this.#inner.refresh();
	}

	transaction<R>(work: (transaction: MetaTransaction) => R): Promise<R> {
		return this.#inner.transaction(work);
	}

	/**
	 * Shows what `work` writes from now on, and in a moment runs it as a transaction, after `before`. Throws what `work` throws
	 * now; the promise that it returns rejects where one of the two fails later, and nothing is shown any more.
	 */
	early(
		id: string,
		work: (transaction: MetaTransaction) => void,
		before: () => Promise<unknown>,
	): Promise<void> {
		const collected = new Collected(this);
		work(collected);
		for (const [table, writes] of collected.writes) {
			const shown = this.#early.get(table) ?? new Map<string, unknown>();
			this.#early.set(table, shown);
			for (const [key, value] of writes) shown.set(key, value);
		}
		let hurry: () => void = () => undefined;
		const begun = new Promise<void>((begin) => {
			const timer = setTimeout(begin, DELAY_MS);
			hurry = () => {
				clearTimeout(timer);
				begin();
			};
		});
		const recorded = this.#record(work, () => begun.then(before), collected.writes).finally(() => {
			this.#recording.delete(id);
		});
		const settled = recorded.catch(() => undefined);
		this.#recording.set(id, { settled, hurry });
		return recorded;
	}

	/** Sees to it that what is early is recorded now, and waits for it; of one layer or of all. */
	async recorded(id?: string): Promise<void> {
		const one = id === undefined ? undefined : this.#recording.get(id);
		const waited = id === undefined ? [...this.#recording.values()] : one === undefined ? [] : [one];
		for (const { hurry } of waited) hurry();
		await Promise.all(waited.map(({ settled }) => settled));
	}

	close(): Promise<void> {
		return this.#inner.close();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	async #record(
		work: (transaction: MetaTransaction) => void,
		before: () => Promise<unknown>,
		shown: Writes,
	): Promise<void> {
		try {
			await before();
			await this.#inner.transaction(work);
			this.#inner.refresh();
		} finally {
			for (const [table, writes] of shown)
				for (const key of writes.keys()) this.#early.get(table)?.delete(key);
		}
	}
}

/** Takes the writes and keeps them. There is no removing early. */
class Collected implements MetaTransaction {
	readonly writes = new Map<MetaTable, Map<string, unknown>>();
	readonly #reader: MetaReader;

	constructor(reader: MetaReader) {
		this.#reader = reader;
	}

	get<V>(table: MetaTable, key: string): V | undefined {
		return this.#reader.get<V>(table, key);
	}

	entries<V>(table: MetaTable, prefix?: string): Iterable<readonly [string, V]> {
		return this.#reader.entries<V>(table, prefix);
	}

	put(table: MetaTable, key: string, value: unknown): void {
		const writes = this.writes.get(table) ?? new Map<string, unknown>();
		this.writes.set(table, writes);
		writes.set(key, value);
	}

	remove(): void {
		throw new TypeError("nothing is removed early");
	}
}
