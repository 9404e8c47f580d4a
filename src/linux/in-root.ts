/**
 * Owns opening what a root filesystem has, from outside: a symbolic link or `..` in it never leads out of the directory, and
 * a FIFO or a device in a file's place is never opened.
 */
import * as linux from "./constants.ts";
import { isSystemError, SystemError } from "./errno.ts";
import { close, openat, openat2 } from "./files.ts";
import type { Path } from "./native.ts";
import { fstat, isRegular } from "./stat.ts";

/** Opens `path` with the directory `rootFd` as its `/`. @throws {SystemError} */
export function openInRoot(rootFd: number, path: Path, flags: number, mode: number = 0): number {
	return openat2(rootFd, path, { flags, mode, resolve: linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS });
}

const EEXIST = 17;

/**
 * As openInRoot, but only a regular file is ever opened: a FIFO would wait, and a device act. O_CREAT makes one where there
 * is nothing.
 * @returns the descriptor, or undefined where there is something else than a regular file
 * @throws {SystemError}
 */
export function openFileInRoot(
	rootFd: number,
	path: Path,
	flags: number,
	mode: number = 0,
): number | undefined {
	let there: number;
	try {
		there = openInRoot(rootFd, path, linux.O_PATH);
	} catch (error) {
		if ((flags & linux.O_CREAT) === 0 || !isSystemError(error, "ENOENT")) throw error;
		return regularOrClosed(openInRoot(rootFd, path, flags | linux.O_NONBLOCK | linux.O_NOCTTY, mode));
	}
	try {
		if (!isRegular(fstat(there))) return undefined;
		if ((flags & linux.O_EXCL) !== 0) throw new SystemError(EEXIST, "openat2", path);
		return openat(linux.AT_FDCWD, `/proc/thread-self/fd/${there}`, flags & ~linux.O_CREAT);
	} finally {
		close(there);
	}
}

/** Somebody within may have been faster than the kernel's O_CREAT. */
function regularOrClosed(fd: number): number | undefined {
	if (isRegular(fstat(fd))) return fd;
	close(fd);
	return undefined;
}
