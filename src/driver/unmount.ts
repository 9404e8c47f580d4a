/**
 * Owns the end of a mount: unmounting with what lies on top and below, and finding out who is in the way.
 */
import { readdirSync, readlinkSync, rmdirSync } from "node:fs";
import path from "node:path";
import { escapePath, LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";

/** Whether something is mounted exactly at `target`, in the calling thread's mount namespace. */
export function isMountPoint(target: string): boolean {
	if (linux.tryFstatat(linux.AT_FDCWD, target) === undefined) return false;
	if (linux.isMountRoot(linux.AT_FDCWD, target)) return true;
	// Before Linux 5.8 statx does not say; then it does not say so of /proc either.
	if (linux.isMountRoot(linux.AT_FDCWD, "/proc")) return false;
	return linux.readMountInfo().some((mount) => mount.mountPoint.equals(Buffer.from(target)));
}

/**
 * Unmounts everything at and below `target` and removes the directory; harmless where there is nothing.
 * @throws {LamellaError} `EBUSY` naming who uses it, unless `detach`
 */
export function unmountTree(
	target: string,
	{ detach = false }: { readonly detach?: boolean | undefined } = {},
): void {
	// Mounts may lie on top of one another. The bound is for somebody who mounts in a loop.
	for (let round = 0; round < 100 && isMountPoint(target); round++) unmountTop(target, detach);
	try {
		// A mount point without a mount would be taken for the layer's tree.
		rmdirSync(target);
	} catch (error) {
		const code: unknown = Reflect.get(error as Error, "code");
		if (code === "ENOENT") return;
		if (code === "ENOTEMPTY") {
			throw new LamellaError(
				"ECORRUPT",
				`${shown(target)} is not mounted but holds files, which belong to no layer; move them away`,
				{ path: shown(target), cause: error },
			);
		}
		throw failure(target, error, []);
	}
}

function unmountTop(target: string, detach: boolean): void {
	try {
		linux.umount2(target, linux.UMOUNT_NOFOLLOW);
		return;
	} catch (error) {
		if (!linux.isSystemError(error, "EBUSY")) throw failure(target, error, []);
	}
	// Others may have mounted something inside, /proc for example: the deepest first.
	const below = Buffer.from(`${target}/`);
	const inside = linux
		.readMountInfo()
		.filter((mount) => mount.mountPoint.subarray(0, below.length).equals(below));
	try {
		for (const mount of inside.reverse()) linux.umount2(mount.mountPoint, linux.UMOUNT_NOFOLLOW);
		linux.umount2(target, linux.UMOUNT_NOFOLLOW);
	} catch (error) {
		if (!detach || !linux.isSystemError(error, "EBUSY")) throw failure(target, error, holdersOf(target));
		linux.umount2(target, linux.UMOUNT_NOFOLLOW | linux.MNT_DETACH);
	}
}

function failure(target: string, error: unknown, holders: readonly string[]): unknown {
	if (!linux.isSystemError(error)) return error;
	const where = shown(target);
	const details = { path: where, cause: error };
	if (error.code === "EPERM") {
		return new LamellaError("EPERMISSION", `cannot unmount ${where}: not permitted; run as root`, details);
	}
	if (error.code !== "EBUSY") {
		return new LamellaError("ESYSTEM", `cannot unmount ${where}: ${error.message}`, details);
	}
	const who =
		holders.length > 0 ? holders.join(", ") : "somebody (a mount in another namespace, or a loop device)";
	return new LamellaError(
		"EBUSY",
		`cannot unmount ${where}: it is in use by ${who}; end that first`,
		details,
	);
}

const shown = (text: string): string => escapePath(Buffer.from(text));

const HOLDERS_SHOWN = 5;

/** Processes whose working directory, root, program or open files lie in `target`: `bash (pid 12)`. */
export function holdersOf(target: string): string[] {
	const holders: string[] = [];
	const inside = (link: string): boolean => {
		try {
			const at = readlinkSync(link);
			return at === target || at.startsWith(`${target}/`);
		} catch {
			// The process or its descriptor is gone, or is not ours to look at: then it cannot be named.
			return false;
		}
	};
	for (const pid of readdirSync("/proc")) {
		if (!/^\d+$/.test(pid)) continue;
		const process = `/proc/${pid}`;
		const isHolder =
			["cwd", "root", "exe"].some((name) => inside(`${process}/${name}`)) ||
			namesIn(`${process}/fd`).some((fd) => inside(`${process}/fd/${fd}`));
		if (isHolder) holders.push(`${commandOf(process)} (pid ${pid})`);
		if (holders.length >= HOLDERS_SHOWN) break;
	}
	return holders;
}

function namesIn(directory: string): string[] {
	try {
		return readdirSync(directory);
	} catch {
		// As above: the process is gone, or is not ours to look at.
		return [];
	}
}

function commandOf(process: string): string {
	try {
		return path.basename(readlinkSync(`${process}/exe`));
	} catch {
		// Kernel threads have none, and those of others cannot be read.
		return "process";
	}
}
