/**
 * Gives what an entry made its owner, xattrs, mode and times, in the one order that keeps them all: a change of owner
 * drops setuid bits and capabilities, an ACL changes the mode, and every change but of times is one of ctime.
 */
import { readFileSync } from "node:fs";
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { Xattr } from "../../tar/index.ts";
import { isForeignXattr, SELINUX_XATTR } from "../overlay/overlay-marks.ts";
import type { WarningList } from "../warnings.ts";
import type { OwnerMapper } from "./entry-owner.ts";
import { forPeople, toBytes } from "./entry-path.ts";

const DEFAULT_ACL = "system.posix_acl_default";
const CAPABILITY = "security.capability";
const SPECIAL_BITS = 0o7000;
const PERMISSIONS = 0o7777;

/** What the metadata is taken from: an entry of a tar, or a directory of a lower. Ids are the container's. */
export interface Metadata {
	readonly mode: number;
	readonly uid: number;
	readonly gid: number;
	readonly xattrs: readonly Xattr[];
}

/** What the directory that something was made in handed down to it. */
export interface Inherited {
	readonly setgid: boolean;
	readonly hasDefaultAcl: boolean;
}

export class MetadataWriter {
	readonly #owners: OwnerMapper;
	readonly #warnings: WarningList;
	readonly #umask = readUmask();
	readonly #uid = process.geteuid?.() ?? 0;
	readonly #gid = process.getegid?.() ?? 0;

	readonly #rootFd: number;

	/** `rootFd` is any descriptor on the target's filesystem. */
	constructor(rootFd: number, owners: OwnerMapper, warnings: WarningList) {
		this.#rootFd = rootFd;
		this.#owners = owners;
		this.#warnings = warnings;
	}

	/**
	 * For a file or directory that has just been made with `mode & 0o777` and is open.
	 * Default ACLs are left out: they would be handed down to what is made later.
	 */
	finishNew(fd: number, metadata: Metadata, inherited: Inherited, where: () => string): void {
		const { mode, xattrs } = metadata;
		const uid = this.#owners.uid(metadata.uid);
		const gid = this.#owners.gid(metadata.gid);
		const ownerChanges = uid !== this.#uid || gid !== this.#gid || inherited.setgid;
		if (ownerChanges) linux.fchown(fd, uid, gid);
		if (inherited.hasDefaultAcl) this.#removeAll(fd);
		if (xattrs.length > 0) this.#setXattrs(fd, xattrs, where);
		const modeChanges =
			(mode & (this.#umask | SPECIAL_BITS)) !== 0 ||
			xattrs.length > 0 ||
			inherited.setgid ||
			inherited.hasDefaultAcl;
		if (modeChanges) linux.fchmod(fd, mode & PERMISSIONS);
	}

	/** Whether `finishNew` has anything to do. */
	needsFinish(metadata: Metadata, inherited: Inherited): boolean {
		return (
			inherited.setgid ||
			inherited.hasDefaultAcl ||
			metadata.xattrs.length > 0 ||
			(metadata.mode & (this.#umask | SPECIAL_BITS)) !== 0 ||
			this.#owners.uid(metadata.uid) !== this.#uid ||
			this.#owners.gid(metadata.gid) !== this.#gid
		);
	}

	/** For a directory that was there before: what it had of its own goes. */
	replace(fd: number, metadata: Metadata, where: () => string): void {
		linux.fchown(fd, this.#owners.uid(metadata.uid), this.#owners.gid(metadata.gid));
		this.#removeAll(fd);
		this.#setXattrs(fd, metadata.xattrs, where);
		linux.fchmod(fd, metadata.mode & PERMISSIONS);
	}

	/** For a symbolic link, device or fifo that has just been made; `isLink` where it has no mode. */
	finishNode(
		directoryFd: number,
		name: string,
		metadata: Metadata,
		inherited: Inherited & { readonly isLink: boolean },
		where: () => string,
	): void {
		const bytes = toBytes(name);
		const uid = this.#owners.uid(metadata.uid);
		const gid = this.#owners.gid(metadata.gid);
		if (uid !== this.#uid || gid !== this.#gid || inherited.setgid)
			linux.fchownat(directoryFd, bytes, uid, gid);
		if (inherited.hasDefaultAcl && !inherited.isLink) {
			for (const xattr of linux.llistxattrAt(directoryFd, bytes)) {
				if (!isForeignXattr(xattr.toString("latin1"))) linux.lremovexattrAt(directoryFd, bytes, xattr);
			}
		}
		for (const xattr of metadata.xattrs) {
			this.#setOne(xattr, where, (value) => linux.lsetxattrAt(directoryFd, bytes, xattr.name, value));
		}
		if (!inherited.isLink && this.needsFinish(metadata, inherited))
			chmodNoFollow(directoryFd, bytes, metadata.mode);
	}

	/** The default ACL among an entry's xattrs, as it has to be on disk. */
	defaultAclOf(xattrs: readonly Xattr[]): Buffer | undefined {
		if (xattrs.length === 0) return undefined;
		const found = xattrs.find(({ name }) => name.toString("latin1") === DEFAULT_ACL);
		return found === undefined ? undefined : this.#owners.xattrValue(DEFAULT_ACL, found.value);
	}

	/** Sets a directory's default ACL, once nothing is made in it any more. */
	setDefaultAcl(directoryFd: number, name: string, value: Buffer, where: () => string): void {
		const xattr = { name: Buffer.from(DEFAULT_ACL), value };
		// The value is the host's already.
		this.#attempt(DEFAULT_ACL, where, () =>
			linux.lsetxattrAt(directoryFd, toBytes(name), xattr.name, xattr.value),
		);
	}

	#setXattrs(fd: number, xattrs: readonly Xattr[], where: () => string): void {
		for (const xattr of xattrs) {
			this.#setOne(xattr, where, (value) => linux.fsetxattr(fd, xattr.name, value));
		}
	}

	#setOne(xattr: Xattr, where: () => string, set: (value: Buffer) => void): void {
		const name = xattr.name.toString("latin1");
		if (name === DEFAULT_ACL) return;
		if (isLeftOut(name, this.#warnings, where)) return;
		const value = this.#owners.xattrValue(name, xattr.value);
		this.#attempt(name, where, () => set(value));
	}

	/** @throws {LamellaError} `EXATTR` for a capability that cannot be kept, and for xattrs over the filesystem's limit. */
	#attempt(name: string, where: () => string, set: () => void): void {
		try {
			set();
		} catch (error) {
			const xattr = forPeople(name);
			// Without its capability a program does not work, and nobody would find out why; the rest can be done without.
			if (linux.isSystemError(error, "EOPNOTSUPP", "ENOTSUP") && name === CAPABILITY) {
				throw new LamellaError(
					"EXATTR",
					`the filesystem cannot keep ${xattr}, which "${where()}" needs; put the store on ext4, xfs or btrfs`,
					{ path: where(), cause: error },
				);
			}
			if (linux.isSystemError(error, "EOPNOTSUPP", "ENOTSUP", "EPERM", "EINVAL")) {
				this.#warnings.add("xattr", where, xattr);
				return;
			}
			// ext4 has room for a block of xattrs and answers ENOSPC beyond, with a disk as empty as can be.
			if (linux.isSystemError(error, "E2BIG", "ERANGE") || this.#isXattrLimit(error)) {
				throw new LamellaError(
					"EXATTR",
					`the filesystem has no room for ${xattr} of "${where()}"; use one with larger xattrs (xfs, or ext4 with ea_inode)`,
					{ path: where(), cause: error },
				);
			}
			throw error;
		}
	}

	#isXattrLimit(error: unknown): boolean {
		return linux.isSystemError(error, "ENOSPC") && linux.fstatfs(this.#rootFd).availableBlocks > 0;
	}

	/** Removes all xattrs but overlayfs's and the host's. */
	#removeAll(fd: number): void {
		for (const name of linux.flistxattr(fd)) {
			if (!isForeignXattr(name.toString("latin1"))) linux.fremovexattr(fd, name);
		}
	}
}

/** Whether a layer may not state this xattr: overlayfs's own, which is warned of, and the host's label. */
export function isLeftOut(name: string, warnings: WarningList, where: () => string): boolean {
	if (!isForeignXattr(name)) return false;
	if (name !== SELINUX_XATTR) warnings.add("overlay-xattr", where, forPeople(name));
	return true;
}

/** Far from the clocks of 32 bits, which all filesystems hold; nanoseconds. */
const FAR_NS = 2_000_000_000_000_000_000n;

/** Whether a time that was set came out as another one: a filesystem takes the nearest that it can hold. */
export function isClamped(askedNs: bigint, foundNs: bigint): boolean {
	if (askedNs > -FAR_NS && askedNs < FAR_NS) return false;
	const differenceNs = askedNs - foundNs;
	// Less than that is what a coarse clock cuts off.
	return differenceNs > 2_000_000_000n || differenceNs < -2_000_000_000n;
}

/** The process's umask, read where reading does not change it for a moment, as umask(2) does. */
function readUmask(): number {
	const line = /^Umask:\s*([0-7]+)$/m.exec(readFileSync("/proc/self/status", "latin1"));
	// Without the line every mode is set once more, which is right but slower.
	return line?.[1] === undefined ? 0o777 : Number.parseInt(line[1], 8);
}

/** chmod of anything but a symbolic link; it does no harm if one has come in its place. */
export function chmodNoFollow(directoryFd: number, name: string | Buffer, mode: number): void {
	const fd = linux.openat(directoryFd, name, linux.O_PATH | linux.O_NOFOLLOW);
	try {
		if (linux.isSymlink(linux.fstat(fd))) return;
		linux.fchmodat(linux.AT_FDCWD, `/proc/self/fd/${fd}`, mode & PERMISSIONS);
	} finally {
		linux.close(fd);
	}
}
