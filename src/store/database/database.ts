/**
 * The connection to the store's database: one SQLite file in WAL mode, one connection a process.
 *
 * A transaction runs on the caller's thread. It appends to the log without a flush, and every process sees it at once. It is
 * durable when `flushed()` resolves: a thread of Node's pool flushes the log, once for all who wait. So a slow disk
 * stops no other call, and a caller that needs no durability does not wait. After a power cut SQLite has a prefix of the
 * transactions: where one is lost, all later ones are lost too.
 *
 * The log is moved into the file (a checkpoint) by a thread of its own, which does the flushes that this takes.
 */
import { existsSync, statfsSync, statSync } from "node:fs";
import path from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { LamellaError } from "../../errors/index.ts";
import { LITTLE_BYTES, type Reserve } from "../disk/reserve.ts";
import { databaseFailure, isBusy, isFull } from "./errors.ts";
import { LogFlush } from "./log-flush.ts";
import { LogIndex } from "./log-index.ts";
import { FORMAT, SCHEMA } from "./schema.ts";

/** How long a read waits, inside SQLite, for another process that is recovering the log. */
const READ_TIMEOUT_MS = 10_000;
// Writers hold the lock for well under a millisecond, but for one that starts the log anew.
const WRITE_RETRY_MS = 1;
const WRITE_TIMEOUT_MS = 60_000;
/** In transactions; they take about 8 MiB of log. */
const CHECKPOINT_AFTER = 500;

export interface DatabaseOptions {
	/** Make the tables where there are none. Without it, a file that has no tables counts as damaged. */
	readonly make?: boolean | undefined;
	/** Nothing is written; a file that is missing reads as an empty store. */
	readonly readOnly?: boolean | undefined;
	readonly reserve?: Reserve | undefined;
}

export class Database {
	readonly file: string;
	readonly #connection: DatabaseSync;
	readonly #statements = new Map<string, StatementSync>();
	readonly #reserve: Reserve | undefined;
	#log: LogFlush | undefined;
	#index: LogIndex | undefined;
	#sinceCheckpoint = 0;
	/** Called when the log has become long: moves it into the file, off this thread. */
	onLongLog: (() => void) | undefined;

	private constructor(file: string, connection: DatabaseSync, reserve: Reserve | undefined) {
		this.file = file;
		this.#connection = connection;
		this.#reserve = reserve;
	}

	/**
	 * Opens the database at `file`.
	 * @throws {LamellaError} `ECORRUPT` where it is damaged, `ECONFIG` where it is of another format, `ENOSPACE`
	 */
	static open(file: string, options: DatabaseOptions = {}): Database {
		try {
			// Reading makes files beside the database. Where there is no room for them, it is read as it is, if nobody writes it.
			const asItIs = options.readOnly === true && isNearlyFull(file) && !hasLog(file);
			return Database.#openAt(
				file,
				asItIs ? new URL(`${pathToFileURL(file).href}?immutable=1`) : file,
				options,
			);
		} catch (error) {
			throw databaseFailure(error, file);
		}
	}

	static #openAt(
		file: string,
		location: string | URL,
		{ make = false, readOnly = false, reserve }: DatabaseOptions,
	): Database {
		const isEmpty = readOnly && !existsSync(file);
		const connection = new DatabaseSync(isEmpty ? ":memory:" : location, { timeout: READ_TIMEOUT_MS });
		try {
			if (!readOnly) connection.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
			// The log is flushed by `flushed`, and around checkpoints by SQLite itself.
			connection.exec("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
			// Not opened read-only: such a connection would leave its log behind.
			if (readOnly && !isEmpty) connection.exec("PRAGMA query_only = ON");
			const database = new Database(file, connection, reserve);
			database.#needTables(make || isEmpty);
			if (location === file && !isEmpty && LogIndex.isNeeded(file))
				database.#index = new LogIndex(`${file}-shm`);
			return database;
		} catch (error) {
			connection.close();
			throw error;
		}
	}

	get<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined {
		return this.#attempt(() => this.#statement(sql).get(...values) as Row | undefined);
	}

	all<Row>(sql: string, ...values: SQLInputValue[]): Row[] {
		return this.#attempt(() => this.#statement(sql).all(...values) as Row[]);
	}

	/** Reads several times of one state of the database; each read then takes a third of what it takes alone. */
	reading<R>(work: () => R): R {
		if (this.#connection.isTransaction) return work();
		return this.#attempt(() => {
			this.#connection.exec("BEGIN");
			try {
				return work();
			} finally {
				this.#connection.exec("COMMIT");
			}
		});
	}

	/** Changes rows, within a transaction. */
	run(sql: string, ...values: SQLInputValue[]): void {
		this.#statement(sql).run(...values);
	}

	/**
	 * Runs `work` alone among the writers of all processes; where it throws, all of it is undone. When the promise resolves,
	 * every process sees the changes, and a kill cannot lose them. `flushed` then makes them durable.
	 * @throws {LamellaError} `ENOSPACE`, `EBUSY`, `ECORRUPT`, and what `work` throws
	 */
	async transaction<R>(work: () => R): Promise<R> {
		try {
			return await this.#attemptTransaction(work);
		} catch (error) {
			if (!isFull(error) || this.#reserve?.makeRoom() !== true) throw databaseFailure(error, this.file);
		}
		try {
			return await this.#attemptTransaction(work);
		} catch (error) {
			throw databaseFailure(error, this.file);
		} finally {
			this.#reserve?.takeBack();
		}
	}

	/** Resolves when all that was recorded until now is durable. @throws {LamellaError} `ESYSTEM` */
	async flushed(): Promise<void> {
		this.#log ??= new LogFlush(`${this.file}-wal`);
		try {
			await this.#log.flushed();
		} catch (cause) {
			const why = cause instanceof Error ? cause.message : String(cause);
			throw new LamellaError(
				"ESYSTEM",
				`the log of the database ${this.file} cannot be flushed (${why}), so the last changes may be lost in a power cut; look at the disk`,
				{ cause },
			);
		}
	}

	/** Checks every page. Returns what is wrong, or undefined. */
	problem(): string | undefined {
		try {
			const [row] = this.#connection.prepare("PRAGMA quick_check(1)").all() as { quick_check: string }[];
			return row?.quick_check === "ok" ? undefined : row?.quick_check;
		} catch (error) {
			return error instanceof Error ? error.message : String(error);
		}
	}

	close(): void {
		if (!this.#connection.isOpen) return;
		this.#log?.close();
		this.#connection.close();
		this.#index?.close();
	}

	#needTables(make: boolean): void {
		// Not by `get`: the opening needs SQLite's own error.
		const isMade = this.#statement("SELECT 1 FROM sqlite_schema WHERE name = 'layers'").get() !== undefined;
		if (!isMade) {
			if (!make) {
				throw new LamellaError(
					"ECORRUPT",
					`the database ${this.file} has none of the store's tables; end the other processes at this store, then \`lamella check --repair\` rebuilds it`,
					{ path: this.file },
				);
			}
			this.#connection.exec(`BEGIN IMMEDIATE; ${SCHEMA}; PRAGMA user_version = ${FORMAT}; COMMIT`);
		}
		const { user_version: format } = this.get<{ user_version: number }>("PRAGMA user_version") ?? {};
		if (format === FORMAT) return;
		throw new LamellaError(
			"ECONFIG",
			`the database ${this.file} is of format ${format}, and this version reads format ${FORMAT}; use the version that made it`,
			{ path: this.file },
		);
	}

	/** Waits here for the write lock, which another process may hold: waiting inside SQLite would stop this thread. */
	async #attemptTransaction<R>(work: () => R): Promise<R> {
		const deadlineMs = performance.now() + WRITE_TIMEOUT_MS;
		for (;;) {
			if (this.#begin()) return this.#finish(work);
			if (performance.now() > deadlineMs) {
				throw new LamellaError(
					"EBUSY",
					`another process has been writing to the database ${this.file} for a minute; wait for it, or end it`,
					{
						path: this.file,
					},
				);
			}
			await sleep(WRITE_RETRY_MS);
		}
	}

	/** Takes the write lock; false where another process has it. */
	#begin(): boolean {
		if (!this.#connection.isOpen) throw new LamellaError("EINVALID", "the store is closed");
		this.#connection.exec("PRAGMA busy_timeout = 0");
		try {
			this.#connection.exec("BEGIN IMMEDIATE");
			return true;
		} catch (error) {
			if (isBusy(error)) return false;
			throw error;
		} finally {
			this.#connection.exec(`PRAGMA busy_timeout = ${READ_TIMEOUT_MS}`);
		}
	}

	#finish<R>(work: () => R): R {
		try {
			const result = work();
			this.#connection.exec("COMMIT");
			this.#sinceCheckpoint += 1;
			if (this.#sinceCheckpoint >= CHECKPOINT_AFTER && this.onLongLog !== undefined) {
				this.#sinceCheckpoint = 0;
				this.onLongLog();
			}
			return result;
		} catch (error) {
			// Where SQLite ran out of room it has rolled back by itself.
			if (this.#connection.isTransaction) this.#connection.exec("ROLLBACK");
			throw error;
		}
	}

	#statement(sql: string): StatementSync {
		if (!this.#connection.isOpen) throw new LamellaError("EINVALID", "the store is closed");
		const known = this.#statements.get(sql);
		if (known !== undefined) return known;
		const made = this.#connection.prepare(sql);
		this.#statements.set(sql, made);
		return made;
	}

	#attempt<R>(read: () => R): R {
		try {
			return read();
		} catch (error) {
			throw databaseFailure(error, this.file);
		}
	}
}

function isNearlyFull(file: string): boolean {
	if (!existsSync(file)) return false;
	const { bavail, bsize } = statfsSync(path.dirname(file));
	return bavail * bsize < LITTLE_BYTES;
}

/** Whether there are transactions that are not in the file itself. */
function hasLog(file: string): boolean {
	return (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
}
