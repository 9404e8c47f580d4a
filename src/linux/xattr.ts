/**
 * Owns extended attributes: of an open file, and of a name in an open directory without following a symbolic
 * link there. The latter uses getxattrat(2) and its kin (Linux 6.13), before them `/proc/self/fd/N/name`.
 */
import { Buffer } from "node:buffer";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "./constants.ts";
import { check } from "./errno.ts";
import { type Native, native, type Path } from "./native.ts";

const ENODATA = 61;
const EBADF = 9;
// XATTR_SIZE_MAX and XATTR_LIST_MAX: no value and no list is longer.
const value = Buffer.from(new ArrayBuffer(64 * 1024));
const NOTHING = new Uint8Array(0);
const SLASH = 0x2f;

let haveAtCalls: boolean | undefined;

/** A kernel that has the call says EBADF to a bad descriptor; an older one or a seccomp filter something else. */
function hasAtCalls(n: Native): boolean {
	haveAtCalls ??= n.getxattrat(-1, "x", 0, "user.x", NOTHING) === -EBADF;
	return haveAtCalls;
}

/** The same file by a path that needs no directory fd. */
function absolute(dirfd: number, path: Path): Path {
	if (dirfd === AT_FDCWD || (typeof path === "string" ? path.charCodeAt(0) : path[0]) === SLASH) return path;
	const directory = `/proc/self/fd/${dirfd}/`;
	return typeof path === "string" ? directory + path : Buffer.concat([Buffer.from(directory), path]);
}

const taken = (length: number): Buffer => Buffer.from(value.subarray(0, length));

function split(length: number): Buffer[] {
	const all = taken(length);
	const names: Buffer[] = [];
	for (let at = 0; at < all.length; ) {
		const end = all.indexOf(0, at);
		if (end < 0) break;
		names.push(all.subarray(at, end));
		at = end + 1;
	}
	return names;
}

/** The value, or undefined where there is no such attribute. @throws {SystemError} EOPNOTSUPP, EPERM */
export function lgetxattrAt(dirfd: number, path: Path, name: Path): Buffer | undefined {
	const n = native();
	const result = hasAtCalls(n)
		? n.getxattrat(dirfd, path, AT_SYMLINK_NOFOLLOW, name, value)
		: n.lgetxattr(absolute(dirfd, path), name, value);
	return result === -ENODATA ? undefined : taken(check(result, "getxattr", path));
}

/** @throws {SystemError} EOPNOTSUPP, EPERM, ENOSPC, E2BIG, EEXIST (XATTR_CREATE), ENODATA (XATTR_REPLACE) */
export function lsetxattrAt(
	dirfd: number,
	path: Path,
	name: Path,
	newValue: Uint8Array,
	flags: number = 0,
): void {
	const n = native();
	const result = hasAtCalls(n)
		? n.setxattrat(dirfd, path, AT_SYMLINK_NOFOLLOW, name, newValue, flags)
		: n.lsetxattr(absolute(dirfd, path), name, newValue, flags);
	check(result, "setxattr", path);
}

/** Names of all attributes that the caller may see, in the filesystem's order. @throws {SystemError} EOPNOTSUPP */
export function llistxattrAt(dirfd: number, path: Path): Buffer[] {
	const n = native();
	const result = hasAtCalls(n)
		? n.listxattrat(dirfd, path, AT_SYMLINK_NOFOLLOW, value)
		: n.llistxattr(absolute(dirfd, path), value);
	return split(check(result, "listxattr", path));
}

/** @throws {SystemError} ENODATA where there is no such attribute */
export function lremovexattrAt(dirfd: number, path: Path, name: Path): void {
	const n = native();
	const result = hasAtCalls(n)
		? n.removexattrat(dirfd, path, AT_SYMLINK_NOFOLLOW, name)
		: n.lremovexattr(absolute(dirfd, path), name);
	check(result, "removexattr", path);
}

/** The value, or undefined where there is no such attribute. @throws {SystemError} EOPNOTSUPP, EPERM */
export function fgetxattr(fd: number, name: Path): Buffer | undefined {
	const result = native().fgetxattr(fd, name, value);
	return result === -ENODATA ? undefined : taken(check(result, "fgetxattr"));
}

/** @throws {SystemError} EOPNOTSUPP, EPERM, ENOSPC, E2BIG, EEXIST (XATTR_CREATE), ENODATA (XATTR_REPLACE) */
export function fsetxattr(fd: number, name: Path, newValue: Uint8Array, flags: number = 0): void {
	check(native().fsetxattr(fd, name, newValue, flags), "fsetxattr");
}

/** Names of all attributes that the caller may see, in the filesystem's order. @throws {SystemError} EOPNOTSUPP */
export function flistxattr(fd: number): Buffer[] {
	return split(check(native().flistxattr(fd, value), "flistxattr"));
}

/** @throws {SystemError} ENODATA where there is no such attribute */
export function fremovexattr(fd: number, name: Path): void {
	check(native().fremovexattr(fd, name), "fremovexattr");
}
