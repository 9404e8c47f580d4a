/**
 * Owns open files: opening, reading, writing, sizes, holes, copies between files, flushing, locks, pipes.
 * Every descriptor that is made has O_CLOEXEC. Calls that a signal interrupts are made again.
 */
import { LOCK_NB, O_NONBLOCK } from "./constants.ts";
import { check, EAGAIN, EINTR, SystemError, uninterrupted } from "./errno.ts";
import { native, type Path } from "./native.ts";

/** openat(2). @throws {SystemError} */
export function openat(dirfd: number, path: Path, flags: number, mode: number = 0): number {
	return check(
		uninterrupted(() => native().openat(dirfd, path, flags, mode)),
		"openat",
		path,
	);
}

export interface OpenHow {
	readonly flags: number;
	readonly mode?: number | undefined;
	/** RESOLVE_*. */
	readonly resolve?: number | undefined;
}

/**
 * openat2(2): opens with RESOLVE_* limits on how the path may go.
 * @throws {SystemError} EXDEV or ELOOP where the path breaks a limit; ENOSYS before Linux 5.6
 */
export function openat2(dirfd: number, path: Path, how: OpenHow): number {
	const n = native();
	// EAGAIN: a rename or mount raced with the walk below `..` (openat2(2)); the kernel asks to try again.
	for (let attempt = 0; ; attempt++) {
		const result = n.openat2(dirfd, path, how.flags, how.mode ?? 0, how.resolve ?? 0);
		if (result === -EINTR || (result === -EAGAIN && attempt < 128)) continue;
		return check(result, "openat2", path);
	}
}

/** close(2). Never made again after EINTR: Linux has closed the descriptor all the same. @throws {SystemError} */
export function close(fd: number): void {
	const result = native().close(fd);
	if (result !== -EINTR) check(result, "close");
}

/** Bytes read, 0 at the end. @throws {SystemError} */
export function read(
	fd: number,
	buffer: Uint8Array,
	offset: number = 0,
	length: number = buffer.length - offset,
): number {
	return check(
		uninterrupted(() => native().read(fd, buffer, offset, length)),
		"read",
	);
}

/** Bytes read at `position`, 0 at the end. @throws {SystemError} */
export function pread(
	fd: number,
	buffer: Uint8Array,
	offset: number,
	length: number,
	position: number,
): number {
	return check(
		uninterrupted(() => native().pread(fd, buffer, offset, length, position)),
		"pread",
	);
}

/** Writes all of it. @throws {SystemError} */
export function write(
	fd: number,
	buffer: Uint8Array,
	offset: number = 0,
	length: number = buffer.length - offset,
): void {
	const end = offset + length;
	for (let at = offset; at < end; ) {
		at += progressOf(
			uninterrupted(() => native().write(fd, buffer, at, end - at)),
			"write",
		);
	}
}

/** Writes what goes without waiting (O_NONBLOCK): bytes written, 0 where nothing goes now. @throws {SystemError} */
export function writeSome(fd: number, buffer: Uint8Array): number {
	const result = uninterrupted(() => native().write(fd, buffer, 0, buffer.length));
	return result === -EAGAIN ? 0 : check(result, "write");
}

/** Writes all of it at `position`. @throws {SystemError} */
export function pwrite(
	fd: number,
	buffer: Uint8Array,
	offset: number,
	length: number,
	position: number,
): void {
	for (let done = 0; done < length; ) {
		const write = (): number => native().pwrite(fd, buffer, offset + done, length - done, position + done);
		done += progressOf(uninterrupted(write), "pwrite");
	}
}

const EIO = 5;

/** A write that took nothing would be tried for ever. */
function progressOf(result: number, syscall: string): number {
	if (result === 0) throw new SystemError(EIO, syscall);
	return check(result, syscall);
}

/** ftruncate(2). @throws {SystemError} */
export function ftruncate(fd: number, sizeBytes: number): void {
	check(
		uninterrupted(() => native().ftruncate(fd, sizeBytes)),
		"ftruncate",
	);
}

/** fallocate(2). @throws {SystemError} EOPNOTSUPP where the filesystem cannot */
export function fallocate(fd: number, mode: number, offset: number, length: number): void {
	check(
		uninterrupted(() => native().fallocate(fd, mode, offset, length)),
		"fallocate",
	);
}

const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;

/** lseek(2) to `offset` from the start. @throws {SystemError} ESPIPE on a pipe */
export function seek(fd: number, offset: number): number {
	return check(native().lseek(fd, offset, SEEK_SET), "lseek");
}

/** Where the next data begins at or after `offset`; undefined where there is only hole, or the end. */
export function seekData(fd: number, offset: number): number | undefined {
	const result = native().lseek(fd, offset, SEEK_DATA);
	return result === -ENXIO ? undefined : check(result, "lseek");
}

/** Where the next hole begins at or after `offset`; the end counts as one. @throws {SystemError} ENXIO at or past the end */
export function seekHole(fd: number, offset: number): number {
	return check(native().lseek(fd, offset, SEEK_HOLE), "lseek");
}

/**
 * copy_file_range(2). `null` offsets mean the file's own position (which then moves). Bytes copied; 0 at the end.
 * @throws {SystemError} EXDEV, EINVAL, EOPNOTSUPP where the two files cannot be copied so
 */
export function copyFileRange(
	inFd: number,
	inOffset: number | null,
	outFd: number,
	outOffset: number | null,
	length: number,
): number {
	return check(
		uninterrupted(() => native().copy_file_range(inFd, inOffset ?? -1, outFd, outOffset ?? -1, length)),
		"copy_file_range",
	);
}

const FICLONE = 0x40049409;
const EXDEV = 18;
const EINVAL = 22;
const ENOTTY = 25;
const EOPNOTSUPP = 95;

/**
 * Makes `outFd` share all of `inFd`'s data (ioctl FICLONE).
 * @returns false where the filesystem, or this pair of files, cannot
 * @throws {SystemError} for other failures (ENOSPC, EPERM, …)
 */
export function ficlone(outFd: number, inFd: number): boolean {
	const result = native().ioctl(outFd, FICLONE, inFd);
	if (result === -EOPNOTSUPP || result === -EXDEV || result === -EINVAL || result === -ENOTTY) return false;
	check(result, "ioctl(FICLONE)");
	return true;
}

const SYNC_FILE_RANGE_WRITE = 2;

/**
 * Has the kernel begin to write the file's content (all of it, or a range) to the disk, and waits for nothing: it makes
 * a later flush shorter, and promises nothing by itself (sync_file_range(2)). @throws {SystemError} ESPIPE on a pipe
 */
export function startWriteback(fd: number, offset: number = 0, length: number = 0): void {
	check(native().sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE), "sync_file_range");
}

/** fsync(2). @throws {SystemError} */
export function fsync(fd: number): void {
	check(native().fsync(fd), "fsync");
}

/** Flushes the whole filesystem that `fd` lies on. @throws {SystemError} also for earlier write errors (Linux 5.8) */
export function syncfs(fd: number): void {
	check(native().syncfs(fd), "syncfs");
}

/**
 * flock(2) with LOCK_*. The lock belongs to the open file description.
 * @returns false where somebody else holds it and LOCK_NB was given
 */
export function flock(fd: number, operation: number): boolean {
	const result = uninterrupted(() => native().flock(fd, operation));
	if (result === -EAGAIN && (operation & LOCK_NB) !== 0) return false;
	check(result, "flock");
	return true;
}

/** pipe2(2); O_CLOEXEC is always added. @throws {SystemError} */
export function pipe2(flags: number = 0): { readonly readFd: number; readonly writeFd: number } {
	const pair = new Int32Array(2);
	check(native().pipe2(new Uint8Array(pair.buffer), flags), "pipe2");
	return { readFd: pair[0] ?? -1, writeFd: pair[1] ?? -1 };
}

const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;

/** Asks for a pipe buffer of `sizeBytes`; the kernel rounds it up. Returns what it is. @throws {SystemError} EPERM */
export function setPipeSize(fd: number, sizeBytes: number): number {
	return check(native().fcntl(fd, F_SETPIPE_SZ, sizeBytes), "fcntl(F_SETPIPE_SZ)");
}

/** The pipe's buffer in bytes. @throws {SystemError} EBADF where it is not a pipe */
export function pipeSize(fd: number): number {
	return check(native().fcntl(fd, F_GETPIPE_SZ, 0), "fcntl(F_GETPIPE_SZ)");
}

/** Sets O_NONBLOCK, for all who share the open file. @throws {SystemError} */
export function setNonblocking(fd: number): void {
	const flags = check(native().fcntl(fd, F_GETFL, 0), "fcntl(F_GETFL)");
	check(native().fcntl(fd, F_SETFL, flags | O_NONBLOCK), "fcntl(F_SETFL)");
}

/** A second descriptor for the same open file, with O_CLOEXEC. @throws {SystemError} */
export function dup(fd: number): number {
	return check(native().fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl(F_DUPFD_CLOEXEC)");
}
