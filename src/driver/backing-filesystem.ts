/** Owns what is asked of the filesystem under a state root, whichever driver is used. */
import { mkdtempSync, rmSync } from "node:fs";
import path from "node:path";
import * as linux from "../linux/index.ts";

export interface BackingFilesystem {
	/** By its magic: `ext4`, `xfs`, … */
	readonly name: string;
	readonly reflinks: boolean;
	readonly hardLinks: boolean;
}

/** Tries links and reflinks in a directory of its own below `root`. @throws {SystemError} where it cannot be written to */
export function inspectBackingFilesystem(root: string): BackingFilesystem {
	const name = linux.filesystemName(linux.statfs(root).magic);
	const directory = mkdtempSync(path.join(root, "probe-"));
	const dirfd = linux.openat(linux.AT_FDCWD, directory, linux.O_RDONLY | linux.O_DIRECTORY);
	try {
		return { name, reflinks: tryReflink(dirfd), hardLinks: tryHardLink(dirfd) };
	} finally {
		linux.close(dirfd);
		rmSync(directory, { recursive: true, force: true });
	}
}

function tryReflink(dirfd: number): boolean {
	const create = linux.O_RDWR | linux.O_CREAT | linux.O_EXCL;
	const from = linux.openat(dirfd, "from", create, 0o600);
	const to = linux.openat(dirfd, "to", create, 0o600);
	try {
		linux.write(from, Buffer.alloc(4096, 1));
		return linux.ficlone(to, from);
	} finally {
		linux.close(from);
		linux.close(to);
	}
}

function tryHardLink(dirfd: number): boolean {
	try {
		linux.linkat(dirfd, "from", dirfd, "linked");
		return true;
	} catch (error) {
		// exfat, and some FUSE and network filesystems.
		if (linux.isSystemError(error, "EPERM", "EOPNOTSUPP", "EMLINK", "ENOSYS")) return false;
		throw error;
	}
}
