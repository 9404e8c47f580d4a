/**
 * MetaStore on lmdb: `metadata/data.mdb` and `metadata/lock.mdb`.
 *
 * `overlappingSync` is off, so a transaction's promise resolves after the flush. lmdb runs the transactions
 * that came in together in one batch and does not undo the writes of one that throws; so a transaction's
 * writes are collected here and handed over only when it has come through.
 */
import { type Database, open, type RootDatabase } from "lmdb";
import { LamellaError } from "../errors/index.ts";
import type { MetaStore, MetaTable, MetaTransaction } from "./meta-store.ts";

const TABLES: readonly MetaTable[] = ["layers", "places", "children", "pending", "records", "facts"];
// Above every character that a key can go on with.
const AFTER = "\u{10ffff}";

type Tables = Readonly<Record<MetaTable, Database<unknown, string>>>;

/** Opens or makes the database in `directory`. Damage is looked for beforehand: see lmdb-file.ts. */
export function openLmdbMetaStore(directory: string): MetaStore {
	const environment = open<unknown, string>({
		path: directory,
		noSubdir: false,
		overlappingSync: false,
		encoding: "json",
		maxDbs: TABLES.length + 2,
		maxReaders: 1024,
	});
	return new LmdbMetaStore(environment);
}

class LmdbMetaStore implements MetaStore {
	readonly #environment: RootDatabase<unknown, string>;
	readonly #tables: Tables;
	#closed = false;

	constructor(environment: RootDatabase<unknown, string>) {
		this.#environment = environment;
		const tables = TABLES.map((name) => [
			name,
			environment.openDB<unknown, string>({ name, encoding: "json" }),
		]);
		this.#tables = Object.fromEntries(tables) as Tables;
	}

	get<V>(table: MetaTable, key: string): V | undefined {
		this.#check();
		return this.#tables[table].get(key) as V | undefined;
	}

	*entries<V>(table: MetaTable, prefix = ""): Iterable<readonly [string, V]> {
		this.#check();
		yield* entriesOf<V>(this.#tables, table, prefix);
	}

	refresh(): void {
		this.#check();
		this.#environment.resetReadTxn();
	}

	async transaction<R>(work: (transaction: MetaTransaction) => R): Promise<R> {
		this.#check();
		// lmdb would take an exception for a reason to give up the batch, and others share it.
		const outcome = await this.#environment.transaction<{ ok: R } | { error: unknown }>(() => {
			const buffered = new BufferedTransaction(this.#tables);
			try {
				const ok = work(buffered);
				buffered.write();
				return { ok };
			} catch (error) {
				return { error };
			}
		});
		if ("error" in outcome) throw outcome.error;
		return outcome.ok;
	}

	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		await this.#environment.close();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	#check(): void {
		if (this.#closed) throw new LamellaError("EINVALID", "the store is closed");
	}
}

/** A transaction's writes, on top of what the database has. */
class BufferedTransaction implements MetaTransaction {
	readonly #tables: Tables;
	/** `undefined` stands for removed. */
	readonly #writes = new Map<MetaTable, Map<string, unknown>>();

	constructor(tables: Tables) {
		this.#tables = tables;
	}

	get<V>(table: MetaTable, key: string): V | undefined {
		const writes = this.#writes.get(table);
		if (writes?.has(key) === true) return writes.get(key) as V | undefined;
		return this.#tables[table].get(key) as V | undefined;
	}

	entries<V>(table: MetaTable, prefix = ""): Iterable<readonly [string, V]> {
		const merged = new Map<string, V>(entriesOf<V>(this.#tables, table, prefix));
		for (const [key, value] of this.#writes.get(table) ?? []) {
			if (!key.startsWith(prefix)) continue;
			if (value === undefined) merged.delete(key);
			else merged.set(key, value as V);
		}
		return [...merged].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
	}

	put(table: MetaTable, key: string, value: unknown): void {
		this.#of(table).set(key, value);
	}

	remove(table: MetaTable, key: string): void {
		this.#of(table).set(key, undefined);
	}

	/** Hands the writes to lmdb, within its transaction. */
	write(): void {
		for (const [table, writes] of this.#writes) {
			const database = this.#tables[table];
			for (const [key, value] of writes) {
				// Inside a transaction these are done at once; the promises are for outside.
				void (value === undefined ? database.remove(key) : database.put(key, value));
			}
		}
	}

	#of(table: MetaTable): Map<string, unknown> {
		const found = this.#writes.get(table);
		if (found !== undefined) return found;
		const made = new Map<string, unknown>();
		this.#writes.set(table, made);
		return made;
	}
}

function* entriesOf<V>(tables: Tables, table: MetaTable, prefix: string): Iterable<readonly [string, V]> {
	const range = prefix === "" ? {} : { start: prefix, end: prefix + AFTER };
	for (const { key, value } of tables[table].getRange(range)) yield [key, value as V];
}
