/**
 * Owns the calls that change what the calling thread sees: namespaces, root, working directory, host name.
 * In a worker thread that has unshared CLONE_FS (CLONE_NEWNS does so too) they leave the rest of the process alone.
 */
import { readlinkSync, writeFileSync } from "node:fs";
import { AT_FDCWD, O_RDONLY } from "./constants.ts";
import { check } from "./errno.ts";
import { openat } from "./files.ts";
import { native, type Path } from "./native.ts";
import { waitForEnd } from "./processes.ts";

/** unshare(2) with CLONE_*. @throws {SystemError} EPERM, ENOSPC (too many namespaces), EINVAL */
export function unshare(flags: number): void {
	check(native().unshare(flags), "unshare");
}

/** chroot(2). @throws {SystemError} */
export function chroot(path: Path): void {
	check(native().chroot(path), "chroot", path);
}

/** pivot_root(2); (".", ".") stacks the old root on the new one, to be detached then. @throws {SystemError} */
export function pivotRoot(newRoot: Path, putOld: Path): void {
	check(native().pivot_root(newRoot, putOld), "pivot_root", newRoot);
}

/** chdir(2) of the calling thread, and of all threads that share its CLONE_FS. Node's own cwd cache is not told. */
export function chdirThread(path: Path): void {
	check(native().chdir(path), "chdir", path);
}

/** As chdirThread, to an open directory. @throws {SystemError} */
export function fchdir(fd: number): void {
	check(native().fchdir(fd), "fchdir");
}

/** sethostname(2), in the thread's UTS namespace. At most 64 bytes. @throws {SystemError} */
export function sethostname(name: string): void {
	check(native().sethostname(name), "sethostname");
}

/** The inode number of the calling thread's mount namespace. */
export function mountNamespace(): string {
	return namespaceOf("/proc/thread-self/ns/mnt");
}

/** The inode number that a link in /proc/<pid>/ns names. @throws where there is no such link */
export function namespaceOf(link: string): string {
	return /\[(\d+)\]/.exec(readlinkSync(link))?.[1] ?? "0";
}

/** The kernel's id of the calling thread. */
export function gettid(): number {
	return native().gettid();
}

/**
 * A new user namespace with these lines of uid_map and gid_map (user_namespaces(7)), as a descriptor: for
 * MOUNT_ATTR_IDMAP. Nobody is in it. The process that it takes is gone when this returns.
 * @throws {SystemError} EPERM, ENOSPC (too many namespaces); what Node says of a map that the kernel does not take
 */
export function newUserNamespace(uidMap: string, gidMap: string): number {
	const pid = check(native().clone_userns(), "clone");
	try {
		writeFileSync(`/proc/${pid}/uid_map`, uidMap);
		writeFileSync(`/proc/${pid}/gid_map`, gidMap);
		return openat(AT_FDCWD, `/proc/${pid}/ns/user`, O_RDONLY);
	} finally {
		process.kill(pid, "SIGKILL");
		waitForEnd(pid);
	}
}
