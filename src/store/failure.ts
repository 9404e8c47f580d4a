/** Turns failures of system calls and of Node's fs in the store's own work into Lamella's errors. */
import { type ErrorCode, LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";

const CODES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
	ENOSPC: ["ENOSPACE", "the disk is full (no blocks or no inodes left); make room and try again"],
	EDQUOT: ["ENOSPACE", "the disk quota is used up; make room and try again"],
	EPERM: ["EPERMISSION", "not permitted; run as root"],
	EACCES: ["EPERMISSION", "permission denied; run as root"],
	EROFS: ["ECONFIG", "the filesystem is mounted read-only"],
};

/** The errno's name of a SystemError or of an error of Node's fs. */
export function errnoOf(error: unknown): string | undefined {
	if (linux.isSystemError(error)) return error.code;
	const code: unknown = error instanceof Error ? Reflect.get(error, "code") : undefined;
	return typeof code === "string" && "syscall" in (error as Error) ? code : undefined;
}

/** `error` as a LamellaError about `doing` (`create layer "web"`); other errors stay as they are. */
export function storeFailure(error: unknown, doing: string, layer?: string): unknown {
	const errno = error instanceof LamellaError ? undefined : errnoOf(error);
	if (errno === undefined) return error;
	const message = error instanceof Error ? error.message : String(error);
	const [code, hint] = CODES[errno] ?? ["ESYSTEM", message];
	const path: unknown = Reflect.get(error as Error, "path");
	return new LamellaError(code, `cannot ${doing}: ${hint}`, {
		layer,
		path: typeof path === "string" ? path : undefined,
		cause: error,
	});
}
