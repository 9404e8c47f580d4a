/** Disk use of directories, counted as containerd counts a snapshot's. */
import type { JobContext } from "../jobs/index.ts";
import * as linux from "../linux/index.ts";
import type { Usage } from "./contract.ts";
import { InodeMap, openTop, withChild } from "./walk.ts";

const BLOCK_BYTES = 512;

/**
 * Adds up what is allocated below `directories`, themselves included: blocks in use times 512 and inodes, each
 * inode once however many of its links are seen. Holes cost nothing; blocks that reflinks share count each time.
 */
export function usageOf(directories: readonly string[], context: JobContext): Usage {
	const counter = new UsageCounter(context);
	for (const directory of directories) {
		const fd = openTop(directory);
		try {
			counter.add(linux.fstat(fd));
			counter.addChildren(fd);
		} finally {
			linux.close(fd);
		}
	}
	return { sizeBytes: counter.sizeBytes, inodes: counter.inodes };
}

class UsageCounter {
	sizeBytes = 0;
	inodes = 0;
	readonly #context: JobContext;
	readonly #seen = new InodeMap<true>();

	constructor(context: JobContext) {
		this.#context = context;
	}

	add(stat: linux.Stat): void {
		if (stat.nlink > 1 && !linux.isDirectory(stat)) {
			if (this.#seen.get(stat) === true) return;
			this.#seen.set(stat, true);
		}
		this.sizeBytes += stat.blocks * BLOCK_BYTES;
		this.inodes += 1;
	}

	addChildren(fd: number): void {
		this.#context.checkAborted();
		for (const { name } of linux.readDirectory(fd)) {
			const stat = linux.tryFstatat(fd, name, linux.AT_SYMLINK_NOFOLLOW);
			// Undefined: gone since it was listed, from a layer that is in use.
			if (stat === undefined) continue;
			this.add(stat);
			if (linux.isDirectory(stat)) withChild(fd, name, (childFd) => this.addChildren(childFd));
		}
	}
}
