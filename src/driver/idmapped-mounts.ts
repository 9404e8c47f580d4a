/** Owns the question whether idmapped mounts of a directory can be made, and used under overlayfs. */
import { release } from "node:os";
import * as linux from "../linux/index.ts";

/** overlayfs takes idmapped mounts as lowers from here on (Linux 5.19, kernel documentation of overlayfs). */
const OVERLAY_SINCE = [5, 19] as const;

/**
 * Why idmapped mounts of what is in `directory` cannot be made, in words; `undefined` where they can. Tries it with a
 * mount that is attached nowhere. Needs CAP_SYS_ADMIN, as making them does.
 * Source: mount_setattr(2), "ID-mapped mounts".
 */
export function idMappedMountProblem(directory: string, kernel: string = release()): string | undefined {
	if (isBefore(kernel, OVERLAY_SINCE))
		return `Linux ${kernel} has no idmapped mounts under overlayfs; 5.19 and later have them`;
	let userns: number | undefined;
	let tree: number | undefined;
	try {
		userns = linux.newUserNamespace("0 100000 1\n", "0 100000 1\n");
		tree = linux.openTree(linux.AT_FDCWD, directory, linux.OPEN_TREE_CLONE);
		linux.mountSetattr(tree, "", linux.AT_EMPTY_PATH, { set: linux.MOUNT_ATTR_IDMAP, usernsFd: userns });
		return undefined;
	} catch (error) {
		if (linux.isSystemError(error, "EINVAL") && error.syscall === "mount_setattr") {
			return "the filesystem of the store has no idmapped mounts";
		}
		return error instanceof Error ? error.message : String(error);
	} finally {
		if (tree !== undefined) linux.close(tree);
		if (userns !== undefined) linux.close(userns);
	}
}

function isBefore(kernel: string, [major, minor]: readonly [number, number]): boolean {
	const [, ownMajor = "0", ownMinor = "0"] = /^(\d+)\.(\d+)/.exec(kernel) ?? [];
	return Number(ownMajor) < major || (Number(ownMajor) === major && Number(ownMinor) < minor);
}
