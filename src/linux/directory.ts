/**
 * Owns names in directories: listing, making, linking, renaming, removing. All relative to a directory fd.
 */
import { Buffer } from "node:buffer";
import { check } from "./errno.ts";
import { seek } from "./files.ts";
import { native, type Path } from "./native.ts";

export interface DirectoryEntry {
	readonly name: Buffer;
	/** DT_*; DT_UNKNOWN on filesystems without d_type. */
	readonly type: number;
	readonly ino: bigint;
}

// struct linux_dirent64: ino u64, off s64, reclen u16, type u8, name up to a NUL; records are 8-byte aligned.
const HEADER_BYTES = 19;
const records = Buffer.from(new ArrayBuffer(64 * 1024));
const inodes = new BigUint64Array(records.buffer);
const DOT = 0x2e;

/**
 * Everything in the directory but `.` and `..`, in the filesystem's order. Starts from the beginning always.
 * @throws {SystemError} ENOTDIR, ENOENT (removed meanwhile)
 */
export function readDirectory(fd: number): DirectoryEntry[] {
	const n = native();
	const entries: DirectoryEntry[] = [];
	seek(fd, 0);
	for (;;) {
		const end = check(n.getdents64(fd, records), "getdents64");
		if (end === 0) return entries;
		// The names outlive this call's use of the thread's buffer.
		const kept = Buffer.allocUnsafe(end);
		records.copy(kept, 0, 0, end);
		for (let at = 0; at < end; ) {
			const length = (kept[at + 16] ?? 0) | ((kept[at + 17] ?? 0) << 8);
			const start = at + HEADER_BYTES;
			// Names are padded with NULs: the first one ends the name.
			const name = kept.subarray(start, kept.indexOf(0, start));
			const isDots = name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT));
			if (!isDots) entries.push({ name, type: kept[at + 18] ?? 0, ino: inodes[at >> 3] ?? 0n });
			at += length;
		}
	}
}

/** mkdirat(2); the umask applies. @throws {SystemError} EEXIST */
export function mkdirat(dirfd: number, path: Path, mode: number): void {
	check(native().mkdirat(dirfd, path, mode), "mkdirat", path);
}

/** mknodat(2); `mode` with the type. @throws {SystemError} EEXIST, EPERM, EINVAL (numbers over 12 and 20 bits) */
export function mknodat(dirfd: number, path: Path, mode: number, major: number, minor: number): void {
	check(native().mknodat(dirfd, path, mode, major, minor), "mknodat", path);
}

/** symlinkat(2). @throws {SystemError} EEXIST */
export function symlinkat(target: Path, dirfd: number, path: Path): void {
	check(native().symlinkat(target, dirfd, path), "symlinkat", path);
}

/** linkat(2); links a symbolic link itself unless AT_SYMLINK_FOLLOW. @throws {SystemError} EEXIST, EMLINK, EXDEV, EPERM */
export function linkat(
	oldDirfd: number,
	oldPath: Path,
	newDirfd: number,
	newPath: Path,
	flags: number = 0,
): void {
	check(native().linkat(oldDirfd, oldPath, newDirfd, newPath, flags), "linkat", newPath);
}

/** unlinkat(2); AT_REMOVEDIR for a directory. @throws {SystemError} ENOENT, EISDIR, ENOTEMPTY, EBUSY */
export function unlinkat(dirfd: number, path: Path, flags: number = 0): void {
	check(native().unlinkat(dirfd, path, flags), "unlinkat", path);
}

/** renameat2(2) with RENAME_*. @throws {SystemError} EEXIST (NOREPLACE), EXDEV, ENOTEMPTY */
export function renameat2(
	oldDirfd: number,
	oldPath: Path,
	newDirfd: number,
	newPath: Path,
	flags: number = 0,
): void {
	check(native().renameat2(oldDirfd, oldPath, newDirfd, newPath, flags), "renameat2", oldPath);
}

const target = Buffer.from(new ArrayBuffer(4097));

/** The link's target as bytes. @throws {SystemError} EINVAL where it is no symbolic link */
export function readlinkat(dirfd: number, path: Path): Buffer {
	const length = check(native().readlinkat(dirfd, path, target), "readlinkat", path);
	return Buffer.from(target.subarray(0, length));
}
