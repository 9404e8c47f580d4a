/** Small steps for walking a tree by directory descriptors: names in order, a child opened safely, paths as bytes. */
import * as linux from "../../linux/index.ts";

const SLASH = Buffer.from("/");
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

/** `parent` + `/` + `name`; the root is the empty path. */
export function childPath(parent: Buffer, name: Buffer): Buffer {
	return parent.length === 0 ? Buffer.from(name) : Buffer.concat([parent, SLASH, name]);
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
