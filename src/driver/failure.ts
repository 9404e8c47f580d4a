/** Turns failed mounts into Lamella's errors. */
import { escapePath, LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";

/** `error` as a LamellaError about mounting at `target`; an error that is not a system call's is left as it is. */
export function mountFailure(error: unknown, target: string): unknown {
	if (!linux.isSystemError(error)) return error;
	const path = escapePath(Buffer.from(target));
	const details = { path, cause: error };
	if (error.code === "EPERM" || error.code === "EACCES") {
		return new LamellaError("EPERMISSION", `cannot mount ${path}: not permitted; run as root`, details);
	}
	return new LamellaError("ESYSTEM", `cannot mount ${path}: ${error.message}`, details);
}
