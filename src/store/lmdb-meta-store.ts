/**
 * MetaStore on lmdb: `metadata/data.mdb` and `metadata/lock.mdb`.
 *
 * `overlappingSync` is off, so a transaction's promise resolves after the flush. lmdb runs the transactions
 * that came in together in one batch and does not undo the writes of one that throws; so a transaction's
 * writes are collected here and handed over only when it has come through.
 */
import { type Database, open, type RootDatabase } from "lmdb";
import { LamellaError } from "../errors/index.ts";
import type { MetaReader, MetaStore, MetaTable, MetaTransaction } from "./meta-store.ts";
import { WriteBuffer, type Writes } from "./write-buffer.ts";

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
			const buffer = new WriteBuffer(readerOf(this.#tables));
			try {
				const ok = work(buffer);
				handOver(this.#tables, buffer.writes);
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

/** Hands writes to lmdb, within its transaction. */
function handOver(tables: Tables, writes: Writes): void {
	for (const [table, own] of writes) {
		const database = tables[table];
		for (const [key, value] of own) {
			// Inside a transaction these are done at once; the promises are for outside.
			void (value === undefined ? database.remove(key) : database.put(key, value));
		}
	}
}

/** Reads that belong to the transaction within which they are made. */
function readerOf(tables: Tables): MetaReader {
	return {
		get: <V>(table: MetaTable, key: string) => tables[table].get(key) as V | undefined,
		entries: <V>(table: MetaTable, prefix = "") => entriesOf<V>(tables, table, prefix),
	};
}

function* entriesOf<V>(tables: Tables, table: MetaTable, prefix: string): Iterable<readonly [string, V]> {
	const range = prefix === "" ? {} : { start: prefix, end: prefix + AFTER };
	for (const { key, value } of tables[table].getRange(range)) yield [key, value as V];
}
