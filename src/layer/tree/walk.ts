/**
 * Walking a tree by directory descriptors: without recursion, since a tree may be deeper than a thread's stack, with names
 * in order and children opened safely. Where the walk is, is kept in a DirectoryStack and a TreePath.
 */
import * as linux from "../../linux/index.ts";
import type { TreePath } from "./tree-path.ts";

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

const SLASH = Buffer.from("/");
/** Paths of this length and more no system call takes. */
export const CALL_PATH_BYTES = 4096;
const BELOW = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_MAGICLINKS;

/** Opens the directory `names` below an open one, however long its path, never through a symbolic link. */
export function openBelow(topFd: number, names: readonly Buffer[]): number {
	let fd = linux.openat(topFd, ".", CHILD_FLAGS);
	try {
		for (let at = 0; at < names.length; ) {
			const piece: Buffer[] = [];
			for (let lengthBytes = 0; at < names.length; at++) {
				const name = names[at] as Buffer;
				lengthBytes += name.length + 1;
				if (lengthBytes >= CALL_PATH_BYTES) break;
				piece.push(name, SLASH);
			}
			const next = linux.openat2(fd, Buffer.concat(piece), { flags: CHILD_FLAGS, resolve: BELOW });
			linux.close(fd);
			fd = next;
		}
		return fd;
	} catch (error) {
		linux.close(fd);
		throw error;
	}
}

/** Makes `name` in the open directory `toFd` a link to the file at `path` below `topFd`. @throws {SystemError} */
export function linkBelow(topFd: number, path: TreePath, toFd: number, name: Buffer): void {
	if (path.lengthBytes < CALL_PATH_BYTES) {
		linux.linkat(topFd, path.bytes, toFd, name);
		return;
	}
	const directoryFd = openBelow(topFd, path.parent?.names ?? []);
	try {
		linux.linkat(directoryFd, path.name, toFd, name);
	} finally {
		linux.close(directoryFd);
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
