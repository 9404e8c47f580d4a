/** Copies one file (of any type but a directory), with all that belongs to it, to the same directory or another one. */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { Located } from "./compare.ts";
import { dataExtents } from "./data-extents.ts";
import { readXattrsAt } from "./xattrs.ts";

const PERMISSIONS = 0o7777;
const READ_FLAGS = linux.O_RDONLY | linux.O_NOFOLLOW | linux.O_NONBLOCK;
const CREATE_FLAGS = linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL | linux.O_NOFOLLOW;
const PRIVATE_MODE = 0o600;
const CHUNK_BYTES = 1 << 20;

/**
 * Makes `name` in the open directory `targetFd` a copy of `from`: content (shared by reflink where the filesystem
 * can, else with its holes), owner, mode, xattrs, times. The original is only read.
 * @throws {LamellaError} `EINVALID` for a directory
 */
export function cloneFile(from: Located, targetFd: number, name: Buffer): void {
	const { stat } = from;
	if (linux.isRegular(stat)) cloneRegular(from, targetFd, name);
	else if (linux.isSymlink(stat)) {
		linux.symlinkat(linux.readlinkat(from.directoryFd, from.name), targetFd, name);
	} else if (linux.isDirectory(stat)) {
		throw new LamellaError(
			"EINVALID",
			`"${linux.escapePath(from.name)}" is a directory, and only files are copied so`,
		);
	} else {
		linux.mknodat(targetFd, name, stat.mode, stat.rdevMajor, stat.rdevMinor);
	}
	// Owner first: a change of owner drops capabilities and setuid bits.
	linux.fchownat(targetFd, name, stat.uid, stat.gid);
	for (const xattr of readXattrsAt(from.directoryFd, from.name)) {
		linux.lsetxattrAt(targetFd, name, xattr.name, xattr.value);
	}
	if (!linux.isSymlink(stat)) linux.fchmodat(targetFd, name, stat.mode & PERMISSIONS);
	linux.utimensat(targetFd, name, stat.atimeNs, stat.mtimeNs);
}

function cloneRegular(from: Located, targetFd: number, name: Buffer): void {
	const sourceFd = linux.openat(from.directoryFd, from.name, READ_FLAGS);
	try {
		const copyFd = linux.openat(targetFd, name, CREATE_FLAGS, PRIVATE_MODE);
		try {
			if (!linux.ficlone(copyFd, sourceFd)) copyContent(sourceFd, copyFd, from.stat);
		} finally {
			linux.close(copyFd);
		}
	} finally {
		linux.close(sourceFd);
	}
}

function copyContent(sourceFd: number, copyFd: number, stat: linux.Stat): void {
	linux.ftruncate(copyFd, stat.sizeBytes);
	const extents = dataExtents(sourceFd, stat) ?? [{ offset: 0, sizeBytes: stat.sizeBytes }];
	for (const { offset, sizeBytes } of extents) {
		for (let done = 0; done < sizeBytes; ) {
			const count = copyRange(sourceFd, copyFd, offset + done, sizeBytes - done);
			if (count === 0) break;
			done += count;
		}
	}
}

function copyRange(sourceFd: number, copyFd: number, offset: number, sizeBytes: number): number {
	try {
		return linux.copyFileRange(sourceFd, offset, copyFd, offset, sizeBytes);
	} catch (error) {
		// Filesystems that cannot copy within, or to each other, are copied through memory.
		if (!linux.isSystemError(error, "EXDEV", "EINVAL", "EOPNOTSUPP", "ENOSYS")) throw error;
	}
	const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, sizeBytes));
	const count = linux.pread(sourceFd, buffer, 0, buffer.length, offset);
	if (count > 0) linux.pwrite(copyFd, buffer, 0, count, offset);
	return count;
}

/** Links, and says where that cannot be: too many links, another filesystem, none on this one. */
export function tryLink(fromFd: number, from: string | Buffer, toFd: number, to: string | Buffer): boolean {
	try {
		linux.linkat(fromFd, from, toFd, to);
		return true;
	} catch (error) {
		if (linux.isSystemError(error, "EMLINK", "EXDEV", "EPERM", "EOPNOTSUPP")) return false;
		throw error;
	}
}
