/**
 * Filesystems of their own for tests and benchmarks: a sparse file with ext4 (with a journal), xfs or btrfs on a
 * loop device, or a tmpfs. Everything is unmounted and removed on dispose.
 */
import {
	closeSync,
	fsyncSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	rmSync,
	truncateSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { readMountInfo } from "../../src/linux/index.ts";
import { run } from "./processes.ts";

export type FilesystemType = "ext4" | "xfs" | "btrfs" | "tmpfs";

export interface TestFilesystem extends Disposable {
	/** Where it is mounted. */
	readonly path: string;
}

export function makeFilesystem(
	type: FilesystemType,
	sizeBytes: number,
	{ mkfs = [], mountOptions = [] }: { mkfs?: readonly string[]; mountOptions?: readonly string[] } = {},
): TestFilesystem {
	const home = makeDirectory("lamella-fs-");
	const target = path.join(home.path, "mnt");
	mkdirSync(target);
	const mount = (source: string, option: string): void => {
		run("mount", ["-t", type, "-o", [option, ...mountOptions].join(","), source, target]);
	};
	try {
		if (type === "tmpfs") mount("tmpfs", `size=${sizeBytes}`);
		else {
			const image = path.join(home.path, "image");
			writeFileSync(image, "");
			truncateSync(image, sizeBytes);
			run(`mkfs.${type}`, [type === "ext4" ? "-F" : "-f", "-q", ...mkfs, image]);
			mount(image, "loop");
		}
	} catch (error) {
		home[Symbol.dispose]();
		throw error;
	}
	return { path: target, [Symbol.dispose]: () => home[Symbol.dispose]() };
}

/** Takes all the room of the filesystem at `directory`, to the last block that root can have. */
export function fillDisk(directory: string): { free(): void } {
	const file = path.join(directory, "filler");
	const fd = openSync(file, "w");
	try {
		// Writing back gives up what was only reserved, so there may be some more to take after it.
		for (const chunkBytes of [1 << 20, 4096, 512, 512]) {
			const chunk = Buffer.alloc(chunkBytes);
			try {
				for (;;) writeSync(fd, chunk);
			} catch (error) {
				if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
			}
			fsyncSync(fd);
		}
	} finally {
		closeSync(fd);
	}
	return { free: () => rmSync(file) };
}

/** A temporary directory whose mounts go with it. */
export function makeDirectory(name = "lamella-test-"): TestFilesystem {
	const target = mkdtempSync(path.join(tmpdir(), name));
	return {
		path: target,
		[Symbol.dispose](): void {
			unmountBelow(target);
			rmSync(target, { recursive: true, force: true });
		},
	};
}

/** Unmounts everything mounted at or below `directory`, deepest first. */
export function unmountBelow(directory: string): void {
	for (const point of mountsBelow(directory).reverse()) {
		run("umount", [point], { mayFail: true });
		if (mountPoints().includes(point)) run("umount", ["-l", point], { mayFail: true });
	}
}

/** Mount points of this namespace in the order they were mounted. */
export function mountPoints(): string[] {
	return readMountInfo().map(({ mountPoint }) => mountPoint.toString());
}

/** Those at or below `directory`. */
export function mountsBelow(directory: string): string[] {
	return mountPoints().filter((point) => point === directory || point.startsWith(`${directory}/`));
}
