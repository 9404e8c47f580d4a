/**
 * Owns the loading of the native addon (native/linux.c): at the first call, so that the room can be imported
 * where there is no binary. Every function returns the kernel's result: a number >= 0, or -errno.
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { LamellaError } from "../errors/index.ts";
import { distFile } from "./dist-file.ts";

/** A file name for the kernel: a string goes as UTF-8, bytes go as they are. Holds no NUL. */
export type Path = string | Uint8Array;

type Bytes = Uint8Array;

/** What the addon exports. Descriptors, flags and modes are int32 or uint32; sizes and offsets are doubles. */
export interface Native {
	openat(dirfd: number, path: Path, flags: number, mode: number): number;
	openat2(dirfd: number, path: Path, flags: number, mode: number, resolve: number): number;
	close(fd: number): number;
	read(fd: number, buffer: Bytes, offset: number, length: number): number;
	pread(fd: number, buffer: Bytes, offset: number, length: number, position: number): number;
	write(fd: number, buffer: Bytes, offset: number, length: number): number;
	pwrite(fd: number, buffer: Bytes, offset: number, length: number, position: number): number;
	lseek(fd: number, offset: number, whence: number): number;
	ftruncate(fd: number, size: number): number;
	fallocate(fd: number, mode: number, offset: number, length: number): number;
	copy_file_range(inFd: number, inOffset: number, outFd: number, outOffset: number, length: number): number;
	ioctl(fd: number, request: number, argument: number): number;
	ioctl_data(fd: number, request: number, data: Bytes): number;
	poll(set: Bytes, timeoutMs: number): number;
	fcntl(fd: number, command: number, argument: number): number;
	sync_file_range(fd: number, offset: number, length: number, flags: number): number;
	fsync(fd: number): number;
	syncfs(fd: number): number;
	ioprio_set(which: number, who: number, ioprio: number): number;
	clock_realtime(out: Bytes): number;
	flock(fd: number, operation: number): number;
	pipe2(out: Bytes, flags: number): number;
	statx(dirfd: number, path: Path, flags: number, out: Bytes): number;
	utimensat(dirfd: number, path: Path | null, atimeNs: bigint, mtimeNs: bigint, flags: number): number;
	utimensat_parts(
		dirfd: number,
		path: Path | null,
		atime: number,
		atimeNs: number,
		mtime: number,
		mtimeNs: number,
		flags: number,
	): number;
	fchownat(dirfd: number, path: Path, uid: number, gid: number, flags: number): number;
	fchown(fd: number, uid: number, gid: number): number;
	fchmodat(dirfd: number, path: Path, mode: number): number;
	fchmod(fd: number, mode: number): number;
	statfs(path: Path, out: Bytes): number;
	fstatfs(fd: number, out: Bytes): number;
	getdents64(fd: number, buffer: Bytes): number;
	mkdirat(dirfd: number, path: Path, mode: number): number;
	mknodat(dirfd: number, path: Path, mode: number, major: number, minor: number): number;
	symlinkat(target: Path, dirfd: number, path: Path): number;
	linkat(oldDirfd: number, oldPath: Path, newDirfd: number, newPath: Path, flags: number): number;
	unlinkat(dirfd: number, path: Path, flags: number): number;
	renameat2(oldDirfd: number, oldPath: Path, newDirfd: number, newPath: Path, flags: number): number;
	readlinkat(dirfd: number, path: Path, buffer: Bytes): number;
	fgetxattr(fd: number, name: Path, buffer: Bytes): number;
	fsetxattr(fd: number, name: Path, value: Bytes, flags: number): number;
	flistxattr(fd: number, buffer: Bytes): number;
	fremovexattr(fd: number, name: Path): number;
	lgetxattr(path: Path, name: Path, buffer: Bytes): number;
	lsetxattr(path: Path, name: Path, value: Bytes, flags: number): number;
	llistxattr(path: Path, buffer: Bytes): number;
	lremovexattr(path: Path, name: Path): number;
	getxattrat(dirfd: number, path: Path, atFlags: number, name: Path, buffer: Bytes): number;
	setxattrat(dirfd: number, path: Path, atFlags: number, name: Path, value: Bytes, flags: number): number;
	listxattrat(dirfd: number, path: Path, atFlags: number, buffer: Bytes): number;
	removexattrat(dirfd: number, path: Path, atFlags: number, name: Path): number;
	mount(source: Path | null, target: Path, type: Path | null, flags: number, data: Path | null): number;
	umount2(target: Path, flags: number): number;
	fsopen(type: Path, flags: number): number;
	fsconfig(fd: number, command: number, key: Path | null, value: Path | null, aux: number): number;
	fsmount(fd: number, flags: number, attributes: number): number;
	move_mount(fromFd: number, from: Path, toFd: number, to: Path, flags: number): number;
	open_tree(dirfd: number, path: Path, flags: number): number;
	mount_setattr(
		dirfd: number,
		path: Path,
		flags: number,
		set: number,
		clear: number,
		propagation: number,
		usernsFd: number,
	): number;
	unshare(flags: number): number;
	chroot(path: Path): number;
	pivot_root(newRoot: Path, putOld: Path): number;
	chdir(path: Path): number;
	fchdir(fd: number): number;
	sethostname(name: Path): number;
	gettid(): number;
	clone_userns(): number;
	wait4(pid: number, options: number, status: Bytes): number;
	pidfd_open(pid: number): number;
	pidfd_send_signal(pidfd: number, signal: number): number;
	spawn(
		strings: Bytes,
		pointers: Bytes,
		arguments_: number,
		variables: number,
		fd0: number,
		fd1: number,
		fd2: number,
		uid: number,
		gid: number,
		flags: number,
	): number;
}

let loaded: Native | undefined;

function load(): Native {
	if (process.platform !== "linux") {
		throw new LamellaError("ENATIVE", `Lamella runs on Linux only, not on ${process.platform}`);
	}
	const file = distFile(import.meta.url, `native/lamella-linux-${process.arch}.node`);
	try {
		return createRequire(import.meta.url)(fileURLToPath(file)) as Native;
	} catch (cause) {
		throw new LamellaError(
			"ENATIVE",
			`Lamella's native part ${fileURLToPath(file)} cannot be loaded; build it again with "npm run build:native"`,
			{ cause },
		);
	}
}

/** The addon, loaded at the first call. @throws {LamellaError} `ENATIVE` where there is none for this machine. */
export function native(): Native {
	loaded ??= load();
	return loaded;
}
