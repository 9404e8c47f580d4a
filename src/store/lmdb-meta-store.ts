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
import type { Reserve } from "./reserve.ts";
import { WriteBuffer, type Writes } from "./write-buffer.ts";

const TABLES: readonly MetaTable[] = ["layers", "places", "children", "pending", "records", "facts"];
// Above every character that a key can go on with.
const AFTER = "\u{10ffff}";
/** lmdb gives errno's number as the code of its errors. */
const ENOSPC = 28;
const EDQUOT = 122;

type Tables = Readonly<Record<MetaTable, Database<unknown, string>>>;

/**
 * Opens or makes the database in `directory`. Damage is looked for beforehand: see lmdb-file.ts. `reserve` sees to it
 * that transactions find room on a full disk.
 */
export function openLmdbMetaStore(
	directory: string,
	{ reserve }: { readonly reserve?: Reserve | undefined } = {},
): MetaStore {
	const environment = open<unknown, string>({
		path: directory,
		noSubdir: false,
		overlappingSync: false,
		encoding: "json",
		maxDbs: TABLES.length + 2,
		maxReaders: 1024,
	});
	return new LmdbMetaStore(environment, reserve);
}

class LmdbMetaStore implements MetaStore {
	readonly #environment: RootDatabase<unknown, string>;
	readonly #tables: Tables;
	readonly #reserve: Reserve | undefined;
	#closed = false;

	constructor(environment: RootDatabase<unknown, string>, reserve: Reserve | undefined) {
		this.#environment = environment;
		this.#reserve = reserve;
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
		this.#reserve?.needRoom();
		// lmdb would take an exception for a reason to give up the batch, and others share it.
		const running = this.#environment.transaction<{ ok: R } | { error: unknown }>(() => {
			const buffer = new WriteBuffer(readerOf(this.#tables));
			try {
				const ok = work(buffer);
				handOver(this.#tables, buffer.writes);
				return { ok };
			} catch (error) {
				return { error };
			}
		});
		setImmediate(() => this.#heedBatch());
		const outcome = await running
			.catch(async (error: unknown) => {
				throw await commitFailure(error);
			})
			.finally(() => this.#reserve?.takeBack());
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

	/**
	 * lmdb makes one more promise for the batch that a transaction is in, in an immediate, and keeps it to itself; where the
	 * commit fails, nobody hears its rejection, and that would end the process. `committed` is that promise just then.
	 */
	#heedBatch(): void {
		const heard = (): void => undefined;
		this.#environment.committed.then(heard, heard);
	}

	#check(): void {
		if (this.#closed) throw new LamellaError("EINVALID", "the store is closed");
	}
}

/**
 * Why a commit failed. lmdb rejects with an error that has the reason as a promise, which rejects in its turn: left alone,
 * that would end the process.
 */
async function commitFailure(error: unknown): Promise<unknown> {
	const reason: unknown = error instanceof Error ? Reflect.get(error, "commitError") : undefined;
	if (!(reason instanceof Promise)) return error;
	const cause: unknown = await reason.catch((thrown: unknown) => thrown);
	const errno: unknown = cause instanceof Error ? Reflect.get(cause, "code") : undefined;
	const why = cause instanceof Error ? cause.message : String(cause);
	return errno === ENOSPC || errno === EDQUOT
		? new LamellaError("ENOSPACE", "the disk is full: the store cannot be written; make room and try again", {
				cause,
			})
		: new LamellaError("ESYSTEM", `the store's database cannot be written: ${why}`, { cause });
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
