/**
 * Walking a tree by directory descriptors: without recursion, for a tree may be deeper than a thread's stack, with names
 * in order and children opened safely. Where the walk is, is kept in a DirectoryStack and a TreePath.
 */
import * as linux from "../../linux/index.ts";

const CHILD_FLAGS = linux.O_RDONLY | linux.O_DIRECTORY | linux.O_NOFOLLOW;

/** The names in an open directory, sorted bytewise: the order of everything that is written out. */
export function sortedNames(fd: number): linux.DirectoryEntry[] {
	return linux.readDirectory(fd).sort((a, b) => Buffer.compare(a.name, b.name));
}

/** Opens a tree's top directory; its own path may go through symbolic links. */
export function openTop(directory: string): number {
	return linux.openat(linux.AT_FDCWD, directory, linux.O_RDONLY | linux.O_DIRECTORY);
}

/** Runs `visit` with the child directory `name` open, never through a symbolic link, and closes it. */
export function withChild<T>(fd: number, name: Buffer, visit: (childFd: number) => T): T {
	const childFd = linux.openat(fd, name, CHILD_FLAGS);
	try {
		return visit(childFd);
	} finally {
		linux.close(childFd);
	}
}

/** A walk that yields the walk of each directory below, and goes on when that is done. */
export interface Walk extends Generator<Walk, void, undefined> {}

/** Runs a walk, and those that it yields, on a stack of its own. */
export function runWalk(walk: Walk): void {
	const running = [walk];
	try {
		for (let deepest = running.at(-1); deepest !== undefined; deepest = running.at(-1)) {
			const step = deepest.next();
			if (step.done === true) running.pop();
			else running.push(step.value);
		}
	} finally {
		// After a failure, each lets go of what it holds.
		for (const left of running.reverse()) left.return();
	}
}

/** Remembers inodes; for those with more than one link, which is the only case in which it is worth the memory. */
export class InodeMap<T> {
	readonly #devices = new Map<bigint, Map<bigint, T>>();

	get(stat: linux.Stat): T | undefined {
		return this.#devices.get(stat.dev)?.get(stat.ino);
	}

	set(stat: linux.Stat, value: T): void {
		const inodes = this.#devices.get(stat.dev);
		if (inodes === undefined) this.#devices.set(stat.dev, new Map([[stat.ino, value]]));
		else inodes.set(stat.ino, value);
	}
}
