/**
 * Owns mounting: mount(2) and umount2(2), and the mount API by descriptors (fsopen, fsconfig, fsmount, move_mount,
 * open_tree, mount_setattr; Linux 5.2 and 5.12).
 */
import { Buffer } from "node:buffer";
import * as linux from "./constants.ts";
import { check, SystemError } from "./errno.ts";
import { native, type Path } from "./native.ts";

/** mount(2). `data` of at most 4095 bytes. @throws {SystemError} ENAMETOOLONG for more */
export function mount(
	source: Path | null,
	target: Path,
	type: string | null,
	flags: number,
	data: Path | null = null,
): void {
	check(native().mount(source, target, type, flags, data), "mount", target);
}

/** umount2(2). @throws {SystemError} EBUSY, EINVAL (not a mount point), ENOENT */
export function umount2(target: Path, flags: number = 0): void {
	check(native().umount2(target, flags), "umount2", target);
}

/** A context for a new filesystem of `type`. @throws {SystemError} ENODEV (unknown type), ENOSYS, EPERM */
export function fsopen(type: string): number {
	return check(native().fsopen(type, linux.FSOPEN_CLOEXEC), "fsopen", type);
}

/** What the kernel has to say on the context: each line begins with `e `, `w ` or `i `. Empties the log. */
export function fsLog(fd: number): string[] {
	const lines: string[] = [];
	const buffer = Buffer.alloc(8192);
	for (;;) {
		const length = native().read(fd, buffer, 0, buffer.length);
		// ENODATA when it is empty. Whatever else goes wrong, the caller has an error of its own to report.
		if (length <= 0) return lines;
		lines.push(buffer.toString("utf8", 0, length).trimEnd());
	}
}

function fsconfig(fd: number, command: number, key: Path | null, value: Path | null, aux: number): void {
	const result = native().fsconfig(fd, command, key, value, aux);
	if (result < 0) throw new SystemError(-result, "fsconfig", key ?? undefined, fsLog(fd).join("; "));
}

/** Sets `key` to text of at most 255 bytes. @throws {SystemError} EINVAL (unknown key, or too long) with the kernel's message */
export function fsconfigString(fd: number, key: string, value: Path): void {
	fsconfig(fd, linux.FSCONFIG_SET_STRING, key, value, 0);
}

/** Sets an option without a value. @throws {SystemError} */
export function fsconfigFlag(fd: number, key: string): void {
	fsconfig(fd, linux.FSCONFIG_SET_FLAG, key, null, 0);
}

/** Makes the filesystem from the context. @throws {SystemError} with the kernel's message */
export function fsconfigCreate(fd: number): void {
	fsconfig(fd, linux.FSCONFIG_CMD_CREATE, null, null, 0);
}

/** A detached mount of the context's filesystem, with MOUNT_ATTR_*. @throws {SystemError} */
export function fsmount(fd: number, attributes: number = 0): number {
	const result = native().fsmount(fd, linux.FSMOUNT_CLOEXEC, attributes);
	if (result < 0) throw new SystemError(-result, "fsmount", undefined, fsLog(fd).join("; "));
	return result;
}

/** move_mount(2) with MOVE_MOUNT_*. @throws {SystemError} */
export function moveMount(fromFd: number, from: Path, toFd: number, to: Path, flags: number): void {
	check(native().move_mount(fromFd, from, toFd, to, flags), "move_mount", to);
}

/** open_tree(2) with OPEN_TREE_CLONE and AT_*; O_CLOEXEC is added. @throws {SystemError} */
export function openTree(dirfd: number, path: Path, flags: number): number {
	return check(native().open_tree(dirfd, path, flags), "open_tree", path);
}

export interface MountAttributes {
	/** MOUNT_ATTR_*. */
	readonly set?: number | undefined;
	readonly clear?: number | undefined;
	/** MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE. */
	readonly propagation?: number | undefined;
	/** A user namespace for MOUNT_ATTR_IDMAP. */
	readonly usernsFd?: number | undefined;
}

/** mount_setattr(2). @throws {SystemError} ENOSYS before Linux 5.12 */
export function mountSetattr(dirfd: number, path: Path, flags: number, attributes: MountAttributes): void {
	const { set = 0, clear = 0, propagation = 0, usernsFd = -1 } = attributes;
	check(native().mount_setattr(dirfd, path, flags, set, clear, propagation, usernsFd), "mount_setattr", path);
}
