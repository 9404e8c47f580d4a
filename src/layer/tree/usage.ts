/** What directories hold: disk use as containerd counts a snapshot's, content as moby's overlay2 counts a layer's. */
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { Usage } from "../contract.ts";
import { DirectoryStack } from "./directory-stack.ts";
import { InodeMap, openTop, runWalk, type Walk } from "./walk.ts";

const BLOCK_BYTES = 512;

export interface Measured {
	readonly usage: Usage;
	/** Lengths of files and of symlinks' targets, each inode once: what everything but directories says as its size. */
	readonly contentSizeBytes: number;
}

/**
 * Adds up what is allocated below `directories`, themselves included: blocks in use times 512 and inodes, each
 * inode once however many of its links are seen. Holes cost nothing; blocks that reflinks share count each time.
 */
export function usageOf(directories: readonly string[], context: JobContext): Usage {
	return measure(directories, context).usage;
}

/** What `usageOf` adds up, and the content, in one walk. */
export function measure(directories: readonly string[], context: JobContext): Measured {
	const counter = new UsageCounter(context);
	for (const directory of directories) {
		const fd = openTop(directory);
		try {
			counter.add(linux.fstat(fd));
			using directories = new DirectoryStack(fd);
			runWalk(counter.addChildren(directories));
		} finally {
			linux.close(fd);
		}
	}
	const { sizeBytes, inodes, contentSizeBytes } = counter;
	return { usage: { sizeBytes, inodes }, contentSizeBytes };
}

class UsageCounter {
	sizeBytes = 0;
	inodes = 0;
	contentSizeBytes = 0;
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
		if (!linux.isDirectory(stat)) this.contentSizeBytes += stat.sizeBytes;
		this.sizeBytes += stat.blocks * BLOCK_BYTES;
		this.inodes += 1;
	}

	*addChildren(directories: DirectoryStack): Walk {
		for (const { name } of linux.readDirectory(directories.fd)) {
			this.#context.checkAborted();
			const stat = linux.tryFstatat(directories.fd, name);
			// Undefined: gone since it was listed, from a layer that is in use.
			if (stat === undefined) continue;
			this.add(stat);
			if (!linux.isDirectory(stat)) continue;
			directories.enter(name);
			yield this.addChildren(directories);
			directories.leave();
		}
	}
}
