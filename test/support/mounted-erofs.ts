/** An EROFS image and its devices as files, mounted by the kernel, and read back through it. */
import { Buffer } from "node:buffer";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { encodeDevice, type Xattr } from "../../src/erofs/index.ts";
import type { ExpectedFile } from "../../src/erofs/testing/random-tree.ts";
import { escapePath } from "../../src/errors/index.ts";
import { mountErofs } from "../../src/layer/testing/mount-erofs.ts";
import * as linux from "../../src/linux/index.ts";

export interface MountedImage extends Disposable {
	readonly path: string;
	readonly imageFile: string;
	readonly deviceFiles: readonly string[];
}

/** Writes the files below `directory` and mounts there; all is gone on dispose. @throws {SystemError} */
export function mountImage(
	directory: string,
	image: Uint8Array,
	contents: readonly Uint8Array[],
): MountedImage {
	const home = path.join(directory, "image");
	const target = path.join(home, "mnt");
	const imageFile = path.join(home, "metadata");
	mkdirSync(target, { recursive: true });
	writeFileSync(imageFile, image);
	const deviceFiles = contents.map((content, n) => {
		const file = path.join(home, `device-${n}`);
		writeFileSync(file, content);
		return file;
	});
	let mounted: Disposable;
	try {
		mounted = mountErofs(target, imageFile, deviceFiles);
	} catch (error) {
		rmSync(home, { recursive: true });
		throw error;
	}
	return {
		...{ path: target, imageFile, deviceFiles },
		[Symbol.dispose](): void {
			mounted[Symbol.dispose]();
			rmSync(home, { recursive: true });
		},
	};
}

/**
 * All that is below `root`, as the kernel says it, by path in latin1; `inode` is the inode's number. Where content lies
 * is taken from `expected`, as nobody can be asked.
 */
export function readMounted(
	root: string,
	expected: ReadonlyMap<string, ExpectedFile>,
): Map<string, ExpectedFile> {
	const files = new Map<string, ExpectedFile>();
	const waiting = [""];
	for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
		const full = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(at, "latin1")]);
		const stat = linux.fstatat(linux.AT_FDCWD, full);
		const isDevice = linux.isCharacter(stat) || linux.isBlock(stat);
		const seconds = stat.mtimeNs / 1_000_000_000n - (stat.mtimeNs % 1_000_000_000n < 0n ? 1n : 0n);
		files.set(at, {
			...{ mode: stat.mode, uid: stat.uid, gid: stat.gid, links: stat.nlink },
			mtimeSeconds: Number(seconds),
			mtimeNanoseconds: Number(stat.mtimeNs - seconds * 1_000_000_000n),
			rdev: isDevice ? encodeDevice(stat.rdevMajor, stat.rdevMinor) : 0,
			content: linux.isRegular(stat) ? readFileSync(full) : Buffer.alloc(0),
			device: expected.get(at)?.device ?? 0,
			deviceOffsetBytes: expected.get(at)?.deviceOffsetBytes ?? 0,
			xattrs: readXattrs(full),
			target: linux.isSymlink(stat) ? linux.readlinkat(linux.AT_FDCWD, full) : undefined,
			inode: Number(stat.ino),
		});
		if (!linux.isDirectory(stat)) continue;
		for (const name of readNames(full)) waiting.push(at === "" ? name : `${at}/${name}`);
	}
	return files;
}

function readXattrs(full: Buffer): Xattr[] {
	return linux
		.llistxattrAt(linux.AT_FDCWD, full)
		.map((name) => ({ name, value: linux.lgetxattrAt(linux.AT_FDCWD, full, name) ?? Buffer.from("(none)") }))
		.sort((a, b) => Buffer.compare(a.name, b.name));
}

function readNames(full: Buffer): string[] {
	const fd = linux.openat(linux.AT_FDCWD, full, linux.O_RDONLY | linux.O_DIRECTORY);
	try {
		return linux.readDirectory(fd).map(({ name, type }) => {
			const { mode } = linux.fstatat(fd, name);
			if (type !== (mode & linux.S_IFMT) >>> 12)
				throw new Error(`${escapePath(name)} is listed as type ${type}`);
			return name.toString("latin1");
		});
	} finally {
		linux.close(fd);
	}
}
