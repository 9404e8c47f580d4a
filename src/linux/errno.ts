/**
 * Owns the errors of system calls: names and meanings of errnos (the same on x86_64 and aarch64), and SystemError.
 */
import { Buffer } from "node:buffer";
import { getSystemErrorMap } from "node:util";
import { escapePath } from "../errors/index.ts";
import type { Path } from "./native.ts";

/** What Node's own table (libuv's) has not, or words for sockets. */
const MORE: ReadonlyMap<number, readonly [name: string, meaning: string]> = new Map([
	[10, ["ECHILD", "no child processes"]],
	[15, ["ENOTBLK", "block device required"]],
	[35, ["EDEADLK", "resource deadlock avoided"]],
	[37, ["ENOLCK", "no locks available"]],
	[62, ["ETIME", "timer expired"]],
	[74, ["EBADMSG", "bad message"]],
	[95, ["EOPNOTSUPP", "operation not supported"]],
	[116, ["ESTALE", "stale file handle"]],
	[117, ["EUCLEAN", "structure needs cleaning"]],
	[122, ["EDQUOT", "disk quota exceeded"]],
	[123, ["ENOMEDIUM", "no medium found"]],
]);

export const EINTR = 4;
export const EAGAIN = 11;

/** A system call that failed. `code` is the errno's name (`ENOENT`), as in Node's own errors. */
export class SystemError extends Error {
	override readonly name: string = "SystemError";
	readonly code: string;
	readonly errno: number;
	/** The call's name: `openat`. */
	readonly syscall: string;
	/** The path it was about, escaped for people. */
	readonly path: string | undefined;

	/** `detail` is what else is known, for example the kernel's own message. */
	constructor(errno: number, syscall: string, path?: Path, detail?: string) {
		const [code = `E${errno}`, meaning = "unknown error"] =
			MORE.get(errno) ?? getSystemErrorMap().get(-errno) ?? [];
		const escaped =
			path === undefined ? undefined : escapePath(typeof path === "string" ? Buffer.from(path) : path);
		const about = escaped === undefined ? "" : ` "${escaped}"`;
		super(`${syscall}${about}: ${code} (${meaning})${detail ? `: ${detail}` : ""}`);
		this.code = code;
		this.errno = errno;
		this.syscall = syscall;
		this.path = escaped;
	}
}

/** Whether `error` is a SystemError, with one of `codes` where any are given. */
export function isSystemError(error: unknown, ...codes: readonly string[]): error is SystemError {
	return error instanceof SystemError && (codes.length === 0 || codes.includes(error.code));
}

/** Makes a call again for as long as a signal interrupts it. */
export function uninterrupted(call: () => number): number {
	for (;;) {
		const result = call();
		if (result !== -EINTR) return result;
	}
}

/** The result of a native call, or its errno thrown. */
export function check(result: number, syscall: string, path?: Path): number {
	if (result < 0) throw new SystemError(-result, syscall, path);
	return result;
}
