/**
 * Owns changes to what a file says of itself: owner, mode, times. (Extended attributes: xattr.ts.)
 */
import { AT_SYMLINK_NOFOLLOW } from "./constants.ts";
import { check } from "./errno.ts";
import { native, type Path } from "./native.ts";

/** fchownat(2). Clears setuid, setgid and capabilities of a file: set those after. @throws {SystemError} */
export function fchownat(
	dirfd: number,
	path: Path,
	uid: number,
	gid: number,
	flags: number = AT_SYMLINK_NOFOLLOW,
): void {
	check(native().fchownat(dirfd, path, uid, gid, flags), "fchownat", path);
}

/** fchown(2). Clears setuid, setgid and capabilities of a file: set those after. @throws {SystemError} */
export function fchown(fd: number, uid: number, gid: number): void {
	check(native().fchown(fd, uid, gid), "fchown");
}

/** fchmodat(2). It follows symbolic links: never call it on one. @throws {SystemError} */
export function fchmodat(dirfd: number, path: Path, mode: number): void {
	check(native().fchmodat(dirfd, path, mode), "fchmodat", path);
}

/** fchmod(2). @throws {SystemError} */
export function fchmod(fd: number, mode: number): void {
	check(native().fchmod(fd, mode), "fchmod");
}

const EOVERFLOW = 75;
const NS_PER_S = 1_000_000_000n;
const UTIME_OMIT = 0x3ffffffe;

function parts(timeNs: bigint | undefined): [seconds: number, ns: number] {
	if (timeNs === undefined) return [0, UTIME_OMIT];
	const rest = ((timeNs % NS_PER_S) + NS_PER_S) % NS_PER_S;
	return [Number((timeNs - rest) / NS_PER_S), Number(rest)];
}

function setTimes(
	dirfd: number,
	path: Path | null,
	atimeNs: bigint | undefined,
	mtimeNs: bigint | undefined,
	flags: number,
): number {
	if (atimeNs !== undefined && mtimeNs !== undefined) {
		const result = native().utimensat(dirfd, path, atimeNs, mtimeNs, flags);
		// The addon says so for nanoseconds over 64 bits (before 1678, after 2262).
		if (result !== -EOVERFLOW) return result;
	}
	return native().utimensat_parts(dirfd, path, ...parts(atimeNs), ...parts(mtimeNs), flags);
}

/**
 * utimensat(2), to the nanosecond; negative is before 1970; undefined leaves a time as it is. A filesystem
 * silently replaces a time that it cannot hold by the nearest that it can.
 * @throws {SystemError}
 */
export function utimensat(
	dirfd: number,
	path: Path,
	atimeNs: bigint | undefined,
	mtimeNs: bigint | undefined,
	flags: number = AT_SYMLINK_NOFOLLOW,
): void {
	check(setTimes(dirfd, path, atimeNs, mtimeNs, flags), "utimensat", path);
}

/** As utimensat, for an open file. @throws {SystemError} */
export function futimens(fd: number, atimeNs: bigint | undefined, mtimeNs: bigint | undefined): void {
	check(setTimes(fd, null, atimeNs, mtimeNs, 0), "utimensat");
}
