/**
 * Owns what the kernel tells of a file (statx(2)) and of a filesystem (statfs(2)).
 */
import * as linux from "./constants.ts";
import { check } from "./errno.ts";
import { native, type Path } from "./native.ts";

export interface Stat {
	/** As makedev(3) packs it; only for comparing. */
	readonly dev: bigint;
	readonly ino: bigint;
	/** With the type (S_IFMT). */
	readonly mode: number;
	readonly nlink: number;
	readonly uid: number;
	readonly gid: number;
	readonly rdevMajor: number;
	readonly rdevMinor: number;
	readonly sizeBytes: number;
	/** Blocks of 512 bytes. */
	readonly blocks: number;
	readonly atimeNs: bigint;
	readonly mtimeNs: bigint;
	readonly ctimeNs: bigint;
}

// One buffer for the thread: every call reads it out before it returns.
const slots = new ArrayBuffer(144);
const bytes = new Uint8Array(slots);
const doubles = new Float64Array(slots);
const signed = new BigInt64Array(slots);
const unsigned = new BigUint64Array(slots);
const NS_PER_S = 1_000_000_000n;

function readSlots(): Stat {
	let atimeNs = signed[11] ?? 0n;
	let mtimeNs = signed[12] ?? 0n;
	let ctimeNs = signed[13] ?? 0n;
	if (doubles[8] !== 1) {
		// A time outside of 1678 to 2262: its nanoseconds go over 64 bits.
		atimeNs += BigInt(doubles[15] ?? 0) * NS_PER_S;
		mtimeNs += BigInt(doubles[16] ?? 0) * NS_PER_S;
		ctimeNs += BigInt(doubles[17] ?? 0) * NS_PER_S;
	}
	return {
		dev: unsigned[9] ?? 0n,
		ino: unsigned[10] ?? 0n,
		mode: doubles[0] ?? 0,
		nlink: doubles[1] ?? 0,
		uid: doubles[2] ?? 0,
		gid: doubles[3] ?? 0,
		rdevMajor: doubles[6] ?? 0,
		rdevMinor: doubles[7] ?? 0,
		sizeBytes: doubles[4] ?? 0,
		blocks: doubles[5] ?? 0,
		atimeNs,
		mtimeNs,
		ctimeNs,
	};
}

/** The open file's own. @throws {SystemError} */
export function fstat(fd: number): Stat {
	check(native().statx(fd, "", linux.AT_EMPTY_PATH, bytes), "statx");
	return readSlots();
}

/** Of a path; a symbolic link at its end is not followed unless `flags` is 0. @throws {SystemError} */
export function fstatat(dirfd: number, path: Path, flags: number = linux.AT_SYMLINK_NOFOLLOW): Stat {
	check(native().statx(dirfd, path, flags, bytes), "statx", path);
	return readSlots();
}

const ENOENT = 2;
const ENOTDIR = 20;

/** As fstatat, but undefined where there is no such file (ENOENT, ENOTDIR): cheaper than a throw. */
export function tryFstatat(
	dirfd: number,
	path: Path,
	flags: number = linux.AT_SYMLINK_NOFOLLOW,
): Stat | undefined {
	const result = native().statx(dirfd, path, flags, bytes);
	if (result === -ENOENT || result === -ENOTDIR) return undefined;
	check(result, "statx", path);
	return readSlots();
}

const STATX_ATTR_MOUNT_ROOT = 0x2000n;

/** Whether something is mounted exactly there (Linux 5.8; false before). @throws {SystemError} */
export function isMountRoot(dirfd: number, path: Path): boolean {
	check(native().statx(dirfd, path, linux.AT_SYMLINK_NOFOLLOW, bytes), "statx", path);
	return ((signed[14] ?? 0n) & STATX_ATTR_MOUNT_ROOT) !== 0n;
}

type HasMode = number | { readonly mode: number };
const typeOf = (of: HasMode): number => (typeof of === "number" ? of : of.mode) & linux.S_IFMT;

export const isDirectory = (of: HasMode): boolean => typeOf(of) === linux.S_IFDIR;
export const isRegular = (of: HasMode): boolean => typeOf(of) === linux.S_IFREG;
export const isSymlink = (of: HasMode): boolean => typeOf(of) === linux.S_IFLNK;
export const isCharacter = (of: HasMode): boolean => typeOf(of) === linux.S_IFCHR;
export const isBlock = (of: HasMode): boolean => typeOf(of) === linux.S_IFBLK;
export const isFifo = (of: HasMode): boolean => typeOf(of) === linux.S_IFIFO;
export const isSocket = (of: HasMode): boolean => typeOf(of) === linux.S_IFSOCK;

export interface FilesystemStat {
	/** See FILESYSTEM_MAGIC. */
	readonly magic: number;
	readonly blockSize: number;
	/** In blocks of `blockSize`. */
	readonly blocks: number;
	readonly freeBlocks: number;
	/** What others than root may take. */
	readonly availableBlocks: number;
	readonly files: number;
	readonly freeFiles: number;
}

function readFilesystemSlots(): FilesystemStat {
	return {
		magic: doubles[0] ?? 0,
		blockSize: doubles[1] ?? 0,
		blocks: doubles[2] ?? 0,
		freeBlocks: doubles[3] ?? 0,
		availableBlocks: doubles[4] ?? 0,
		files: doubles[5] ?? 0,
		freeFiles: doubles[6] ?? 0,
	};
}

/** The filesystem that `path` lies on (symbolic links are followed). @throws {SystemError} */
export function statfs(path: Path): FilesystemStat {
	check(native().statfs(path, bytes), "statfs", path);
	return readFilesystemSlots();
}

/** The filesystem that the open file lies on. @throws {SystemError} */
export function fstatfs(fd: number): FilesystemStat {
	check(native().fstatfs(fd, bytes), "fstatfs");
	return readFilesystemSlots();
}
