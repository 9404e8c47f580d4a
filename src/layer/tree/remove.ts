/**
 * Removal of whole trees, however deep, relative to directory descriptors: nothing outside the tree can be reached
 * through a symbolic link or a directory that somebody swaps meanwhile. Nor through a mount: whatever is mounted in
 * the tree ends the removal before anything in the mounted filesystem is touched.
 */
import path from "node:path";
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import { asLamellaError } from "../system-failure.ts";
import { DirectoryStack } from "./directory-stack.ts";

const DT_DIR = 4;
const DT_UNKNOWN = 0;
const DIRECTORY_FLAGS = linux.O_RDONLY | linux.O_DIRECTORY | linux.O_NOFOLLOW;
const STAY_HERE = linux.RESOLVE_NO_XDEV | linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_BENEATH;
/** How often a directory is emptied again that somebody puts things in meanwhile. */
const ATTEMPTS_MAX = 5;

/** A directory that is being emptied. */
interface Level {
	/** Name in the directory above. */
	readonly name: Buffer | string;
	/** Subdirectories still to be removed. */
	readonly pending: Buffer[];
}

/**
 * Removes the tree at `path`. What is gone already, or goes meanwhile by somebody else's hand, is no error.
 * @throws {LamellaError} `EBUSY` where something is mounted in it, `EPERMISSION`, `ESYSTEM`.
 */
export function removeTree(tree: string, checkAborted: () => void = () => {}): void {
	const { dir, base } = path.parse(path.resolve(tree));
	try {
		const parentFd = linux.openat(linux.AT_FDCWD, dir, linux.O_PATH | linux.O_DIRECTORY);
		try {
			removeEntry(parentFd, base, checkAborted);
		} finally {
			linux.close(parentFd);
		}
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT")) return;
		throw asLamellaError(error, "remove", () => linux.escapePath(Buffer.from(tree)));
	}
}

/** The same for several; what fails first is thrown once all were tried. */
export function removeTrees(trees: readonly string[], checkAborted: () => void): void {
	const failures: unknown[] = [];
	for (const tree of trees) {
		try {
			removeTree(tree, checkAborted);
		} catch (error) {
			if (isLamellaError(error, "EABORTED")) throw error;
			failures.push(error);
		}
	}
	if (failures.length > 0) throw failures[0];
}

/**
 * Removes `name` in an open directory, whatever it is, with all that is below it; never follows a link.
 * Errors are plain SystemErrors; a name that does not exist is no error.
 */
export function removeEntry(
	directoryFd: number,
	name: string | Buffer,
	checkAborted: () => void = () => {},
	attempt = 1,
): void {
	if (unlinkIfNoDirectory(directoryFd, name)) return;
	using directories = new DirectoryStack(directoryFd);
	const levels: Level[] = [];
	let next: Buffer | string | undefined = name;
	do {
		checkAborted();
		if (next === undefined) {
			const done = levels.pop();
			directories.leave();
			if (done !== undefined) removeEmptied(directories.fd, done.name, attempt);
		} else {
			const fd = openDirectory(directories.fd, next);
			if (fd !== undefined) {
				directories.push(fd);
				levels.push({ name: next, pending: emptyOut(fd) });
			}
		}
		next = levels.at(-1)?.pending.pop();
	} while (levels.length > 0);
}

/** Undefined where it is gone. */
function openDirectory(parentFd: number, name: Buffer | string): number | undefined {
	try {
		return linux.openat2(parentFd, name, { flags: DIRECTORY_FLAGS, resolve: STAY_HERE });
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT")) return undefined;
		if (linux.isSystemError(error, "EXDEV")) {
			const mountPoint = linux.escapePath(Buffer.from(name));
			throw new LamellaError("EBUSY", `something is mounted at "${mountPoint}"; unmount it first`, {
				path: mountPoint,
				cause: error,
			});
		}
		// It was replaced since it was listed.
		if (linux.isSystemError(error, "ENOTDIR", "ELOOP") && unlinkIfNoDirectory(parentFd, name))
			return undefined;
		throw error;
	}
}

/** Removes everything in `fd` but directories, and returns the names of those. */
function emptyOut(fd: number): Buffer[] {
	const directories: Buffer[] = [];
	for (const entry of linux.readDirectory(fd)) {
		if (entry.type === DT_DIR) directories.push(entry.name);
		else if (entry.type === DT_UNKNOWN) {
			const stat = linux.tryFstatat(fd, entry.name);
			if (stat !== undefined && linux.isDirectory(stat)) directories.push(entry.name);
			else unlinkIfNoDirectory(fd, entry.name);
		} else if (!unlinkIfNoDirectory(fd, entry.name)) directories.push(entry.name);
	}
	return directories;
}

/** False where it is a directory. */
function unlinkIfNoDirectory(directoryFd: number, name: string | Buffer): boolean {
	try {
		linux.unlinkat(directoryFd, name);
		return true;
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT")) return true;
		if (linux.isSystemError(error, "EISDIR")) return false;
		// Some filesystems answer EPERM for a directory, as POSIX has it.
		if (linux.isSystemError(error, "EPERM")) {
			const stat = linux.tryFstatat(directoryFd, name);
			if (stat === undefined) return true;
			if (linux.isDirectory(stat)) return false;
		}
		throw error;
	}
}

/** Removes a directory that was emptied. */
function removeEmptied(parentFd: number, name: Buffer | string, attempt: number): void {
	try {
		linux.unlinkat(parentFd, name, linux.AT_REMOVEDIR);
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT")) return;
		const refilled = linux.isSystemError(error, "ENOTEMPTY", "EEXIST", "ENOTDIR");
		if (!refilled || attempt === ATTEMPTS_MAX) throw error;
		removeEntry(parentFd, name, undefined, attempt + 1);
	}
}
