/** Flushing: a whole filesystem, or only what a layer holds where that is little. */
import * as linux from "../../linux/index.ts";
import type { FlushRequest } from "../jobs/job-contract.ts";
import { asLamellaError } from "../system-failure.ts";
import { withChild } from "./walk.ts";

/** Each file with content costs a commit of the journal of its own; syncfs costs a few, and the data of everybody else. */
const FEW_FILES = 4;
const FEW_ENTRIES = 64;

/** Calls syncfs on the filesystem of `path`. @throws {LamellaError} `ESYSTEM`, `ENOSPACE` */
export function syncFilesystem(path: string): void {
	attempt(path, () => withFile(path, linux.O_RDONLY, linux.syncfs));
}

/**
 * Makes what is below `directories` durable, and themselves: file by file where that is little, else with everything that
 * their filesystem has. What others write there at the same time then does not have to be waited for.
 * @throws {LamellaError} `ESYSTEM`, `ENOSPACE`
 */
function syncTrees(directories: readonly string[]): void {
	const budget: Budget = { files: FEW_FILES, entries: FEW_ENTRIES };
	for (const directory of directories) {
		const flushed = attempt(directory, () =>
			withFile(directory, linux.O_RDONLY | linux.O_DIRECTORY, (fd) => flushTree(fd, budget)),
		);
		if (flushed) continue;
		syncFilesystem(directory);
		return;
	}
}

/** How many there may be yet. */
interface Budget {
	files: number;
	entries: number;
}

/** Flushes an open directory and what is in it; false where there is more than the budget allows. */
function flushTree(fd: number, budget: Budget): boolean {
	// Before it is read: the time of access that reading may leave is not worth a commit of the journal.
	linux.fsync(fd);
	for (const { name } of linux.readDirectory(fd)) {
		const stat = linux.fstatat(fd, name, linux.AT_SYMLINK_NOFOLLOW);
		budget.entries -= 1;
		if (linux.isRegular(stat) && stat.sizeBytes > 0) budget.files -= 1;
		if (budget.entries < 0 || budget.files < 0) return false;
		if (linux.isDirectory(stat)) {
			if (!withChild(fd, name, (childFd) => flushTree(childFd, budget))) return false;
		} else if (linux.isRegular(stat)) {
			flushFile(fd, name);
		}
		// What is neither is durable with the directory that it is in.
	}
	return true;
}

function flushFile(fd: number, name: Buffer): void {
	const file = linux.openat(fd, name, linux.O_RDONLY | linux.O_NOFOLLOW);
	try {
		linux.fsync(file);
	} finally {
		linux.close(file);
	}
}

/** As many flushes as cost less than one of the whole filesystem. */
const FEW_PATHS = 12;

/**
 * Makes the files and directories `paths` durable, and what is below `trees`. Where all of that is on one filesystem with a
 * journal, and `paths` begin with a file that was just written, flushing that one commits what the others changed before,
 * and most of them find nothing left to do: every one is asked all the same, since that is the filesystem's affair.
 * @throws {LamellaError} `ESYSTEM`, `ENOSPACE`
 */
export function flushAll({ trees, paths }: FlushRequest): void {
	const [any] = [...paths, ...trees];
	if (any === undefined) return;
	if (paths.length + trees.length > FEW_PATHS) {
		syncFilesystem(any);
		return;
	}
	for (const path of paths) attempt(path, () => withFile(path, linux.O_RDONLY, linux.fsync));
	syncTrees(trees);
}

function withFile<T>(path: string, flags: number, work: (fd: number) => T): T {
	const fd = linux.openat(linux.AT_FDCWD, path, flags);
	try {
		return work(fd);
	} finally {
		linux.close(fd);
	}
}

function attempt<T>(path: string, work: () => T): T {
	try {
		return work();
	} catch (error) {
		throw asLamellaError(error, "flush", () => linux.escapePath(Buffer.from(path)));
	}
}
