/** Turns failures of system calls in bulk file work into Lamella's own errors, with the path that the call was for. */
import { type ErrorCode, isLamellaError, LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";

/** errno name → our code, and what to do about it. */
const CODES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
	ENOSPC: ["ENOSPACE", "the disk is full; make room and try again"],
	EDQUOT: ["ENOSPACE", "the disk quota is used up; raise it or make room, and try again"],
	EPERM: ["EPERMISSION", "not permitted; run as root, and see that no file has the immutable attribute"],
	EACCES: ["EPERMISSION", "permission denied; run as root"],
	EBUSY: ["EBUSY", "it is in use, or something is mounted there; unmount that first"],
	EFBIG: [
		"ETAR",
		"the file is larger than the filesystem takes; put the store on one that takes larger files",
	],
	EMFILE: ["ESYSTEM", "the process has too many open files; raise its limit (ulimit -n) and try again"],
	ENAMETOOLONG: ["ETAR", "the name is longer than the filesystem takes"],
};

/**
 * `error` as a LamellaError that says what was being done (`apply`, `copy`, `remove`) to which path. An error that
 * is not a system call's is returned as it is.
 */
export function asLamellaError(error: unknown, doing: string, where: () => string): unknown {
	if (isLamellaError(error) || !(error instanceof linux.SystemError)) return error;
	const path = where();
	const [code, hint] = CODES[error.code] ?? ["ESYSTEM", error.message];
	return new LamellaError(code, `cannot ${doing} "${path}": ${hint}`, { path, cause: error });
}
