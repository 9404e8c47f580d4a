/**
 * Filesystems of their own for tests and benchmarks: a sparse file with ext4 (with a journal), xfs or btrfs on a
 * loop device, or a tmpfs. Everything is unmounted and removed on dispose.
 */
import {
	closeSync,
	fsyncSync,
	ftruncateSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readFileSync,
	rmSync,
	writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { run } from "./processes.ts";

export type FilesystemType = "ext4" | "xfs" | "btrfs" | "tmpfs";

export interface TestFilesystem extends Disposable {
	/** Where it is mounted. */
	readonly path: string;
}

export function makeFilesystem(
	type: FilesystemType,
	sizeBytes: number,
	options: { mkfs?: readonly string[]; mountOptions?: string } = {},
): TestFilesystem {
	const home = mkdtempSync(path.join(tmpdir(), "lamella-fs-"));
	const target = path.join(home, "mnt");
	mkdirSync(target);
	const mountOptions = options.mountOptions === undefined ? [] : ["-o", options.mountOptions];
	try {
		if (type === "tmpfs") {
			run("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes}`, ...mountOptions, "tmpfs", target]);
		} else {
			const image = path.join(home, "image");
			const fd = openSync(image, "w");
			ftruncateSync(fd, sizeBytes);
			closeSync(fd);
			const force = type === "ext4" ? ["-F", "-q"] : type === "xfs" ? ["-f", "-q"] : ["-f", "-q"];
			run(`mkfs.${type}`, [...force, ...(options.mkfs ?? []), image]);
			const loop = options.mountOptions === undefined ? "loop" : `loop,${options.mountOptions}`;
			run("mount", ["-t", type, "-o", loop, image, target]);
		}
	} catch (error) {
		rmSync(home, { recursive: true, force: true });
		throw error;
	}
	return {
		path: target,
		[Symbol.dispose](): void {
			unmountBelow(target);
			rmSync(home, { recursive: true, force: true });
		},
	};
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
	for (const point of mountPoints().reverse()) {
		if (point === directory || point.startsWith(`${directory}/`)) {
			run("umount", [point], { mayFail: true });
			if (mountPoints().includes(point)) run("umount", ["-l", point], { mayFail: true });
		}
	}
}

/** Mount points of this namespace in the order they were mounted. */
export function mountPoints(): string[] {
	return readFileSync("/proc/self/mountinfo", "utf8")
		.split("\n")
		.filter((line) => line !== "")
		.map((line) =>
			(line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal: string) =>
				String.fromCharCode(Number.parseInt(octal, 8)),
			),
		);
}
