/** Flushing: a whole filesystem, or only what a layer holds where that is a few files. */
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

/** As many flushes as cost less than one of the whole filesystem. */
const FEW_PATHS = 12;

/**
 * Makes the files and directories `paths` durable, in their order, and `trees` with all that is below: one by one where that is
 * little, else with everything that their filesystem has. What others write there at the same time then does not have to be
 * waited for. The first path should be a file that was just written: where the filesystem has a journal, flushing it commits
 * what the others changed as well, and each of them is asked for little.
 * @throws {LamellaError} `ESYSTEM`, `ENOSPACE`
 */
export function flushAll({ trees, paths }: FlushRequest): void {
	const [any] = [...paths, ...trees];
	if (any === undefined) return;
	// Counted before anything is flushed, so that nothing is flushed twice.
	const areFew = paths.length + trees.length <= FEW_PATHS && visitFew(trees, () => undefined);
	if (areFew) {
		for (const path of paths) attempt(path, () => withFile(path, linux.O_RDONLY, linux.fsync));
		if (visitFew(trees, linux.fsync)) return;
	}
	syncFilesystem(any);
}

/** Calls `visit` with each directory and each regular file of the trees; false where they are more than few. */
function visitFew(trees: readonly string[], visit: (fd: number) => void): boolean {
	const budget: Budget = { files: FEW_FILES, entries: FEW_ENTRIES };
	return trees.every((tree) =>
		attempt(tree, () =>
			withFile(tree, linux.O_RDONLY | linux.O_DIRECTORY, (fd) => visitTree(fd, budget, visit)),
		),
	);
}

/** How many there may be yet. */
interface Budget {
	files: number;
	entries: number;
}

function visitTree(fd: number, budget: Budget, visit: (fd: number) => void): boolean {
	// Before it is read: the time of access that reading may leave is not worth a commit of the journal.
	visit(fd);
	for (const { name } of linux.readDirectory(fd)) {
		const stat = linux.fstatat(fd, name, linux.AT_SYMLINK_NOFOLLOW);
		budget.entries -= 1;
		if (linux.isRegular(stat) && stat.sizeBytes > 0) budget.files -= 1;
		if (budget.entries < 0 || budget.files < 0) return false;
		if (linux.isDirectory(stat)) {
			if (!withChild(fd, name, (childFd) => visitTree(childFd, budget, visit))) return false;
		} else if (linux.isRegular(stat)) {
			visitFile(fd, name, visit);
		}
		// What is neither is durable with the directory that it is in.
	}
	return true;
}

function visitFile(fd: number, name: Buffer, visit: (fd: number) => void): void {
	const file = linux.openat(fd, name, linux.O_RDONLY | linux.O_NOFOLLOW);
	try {
		visit(file);
	} finally {
		linux.close(file);
	}
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
