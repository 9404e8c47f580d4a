/** What is wrong with a database, in words, and which of SQLite's errors says so. */
import { LamellaError } from "../../errors/index.ts";

const SQLITE_BUSY = 5;
const SQLITE_IOERR = 10;
/** The index of the log cannot grow. */
const SQLITE_IOERR_SHMSIZE = 4874;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

function codeOf(error: unknown): number | undefined {
	const code: unknown = error instanceof Error ? Reflect.get(error, "errcode") : undefined;
	return typeof code === "number" ? code : undefined;
}

/** Extended codes have more in their upper bits. */
function hasCode(error: unknown, ...codes: readonly number[]): boolean {
	const code = codeOf(error);
	return code !== undefined && codes.includes(code & 0xff);
}

export function isBusy(error: unknown): boolean {
	return hasCode(error, SQLITE_BUSY);
}

/** A full disk may show as an I/O error, too: the log's index in shared memory has to grow as well. */
export function isFull(error: unknown): boolean {
	return hasCode(error, SQLITE_FULL, SQLITE_IOERR);
}

/** SQLite's errors as LamellaErrors; others stay as they are. */
export function databaseFailure(cause: unknown, file: string): unknown {
	if (codeOf(cause) === undefined) return cause;
	const why = cause instanceof Error ? cause.message : String(cause);
	const details = { path: file, cause };
	if (hasCode(cause, SQLITE_FULL) || codeOf(cause) === SQLITE_IOERR_SHMSIZE) {
		return new LamellaError(
			"ENOSPACE",
			`the disk is full: the database ${file} cannot be written; make room, or remove layers and images`,
			details,
		);
	}
	if (hasCode(cause, SQLITE_CORRUPT, SQLITE_NOTADB)) {
		return new LamellaError(
			"ECORRUPT",
			`the database ${file} is damaged (${why}); end the other processes at this store, then \`lamella check --repair\` rebuilds it`,
			details,
		);
	}
	return new LamellaError("ESYSTEM", `the database ${file} cannot be used: ${why}`, details);
}

/** Where a store has no database, and only who is alone at it could make one. */
export function databaseMissing(file: string): LamellaError {
	return new LamellaError(
		"ECORRUPT",
		`the database ${file} is missing; end the other processes at this store, then \`lamella check --repair\` rebuilds it`,
		{ path: file },
	);
}
