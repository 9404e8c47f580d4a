/** Failures of file work on archives, in Lamella's own errors. */
import { type ErrorCode, escapePath, isLamellaError, LamellaError } from "../errors/index.ts";

const CODES: Readonly<Record<string, readonly [code: ErrorCode, hint: string]>> = {
	ABORT_ERR: ["EABORTED", "it was cancelled"],
	EACCES: ["EPERMISSION", "permission denied; run as root or choose another place"],
	EDQUOT: ["ENOSPACE", "the disk quota is used up; make room and try again"],
	EEXIST: ["EEXISTS", "it exists already"],
	ENOENT: ["ENOTFOUND", "there is no such file or directory"],
	ENOSPC: ["ENOSPACE", "the disk is full (of bytes or of inodes: see df and df -i); make room and try again"],
	ENOTDIR: ["ENOTFOUND", "a part of the path is not a directory"],
	ENOTEMPTY: ["EEXISTS", "it exists already and is not empty"],
	EPERM: ["EPERMISSION", "not permitted; run as root or choose another place"],
	EROFS: ["EPERMISSION", "the filesystem is read-only; choose another place"],
};

/** `error` as a LamellaError: `cannot <doing>: <why>`. What is one already stays as it is. */
export function asArchiveError(error: unknown, doing: string): unknown {
	if (isLamellaError(error) || !(error instanceof Error)) return error;
	const errno = String(Reflect.get(error, "code") ?? "");
	const [code, hint] = CODES[errno] ?? ["ESYSTEM", error.message];
	const path: unknown = Reflect.get(error, "path");
	const where =
		typeof path === "string" && !doing.includes(path) ? ` (${escapePath(Buffer.from(path))})` : "";
	return new LamellaError(code, `cannot ${doing}: ${hint}${where}`, { cause: error });
}

/** @throws {LamellaError} `EABORTED` once the signal has fired */
export function checkAborted(signal: AbortSignal | undefined, what: string): void {
	if (signal?.aborted === true) {
		throw new LamellaError("EABORTED", `the ${what} was cancelled`, { cause: signal.reason });
	}
}
