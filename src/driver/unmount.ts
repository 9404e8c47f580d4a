/**
 * Owns the end of a mount: unmounting with what lies on top and below, and finding out who is in the way.
 */
import { readdirSync, readFileSync, readlinkSync, rmdirSync } from "node:fs";
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
	return processesThat((process) => {
		const isHolder =
			["cwd", "root", "exe"].some((name) => placeIn(target, `${process}/${name}`) !== undefined) ||
			namesIn(`${process}/fd`).some((fd) => placeIn(target, `${process}/fd/${fd}`) !== undefined);
		return isHolder ? "" : undefined;
	});
}

/** Processes that have files in `target` open for writing: `python3 (pid 12, /srv/data.db)`. */
export function writersIn(target: string): string[] {
	return processesThat((process) => {
		const files = namesIn(`${process}/fd`).filter((fd) => isForWriting(process, fd));
		const open = files.map((fd) => placeIn(target, `${process}/fd/${fd}`)).find((at) => at !== undefined);
		const file = open ?? mappedIn(target, process);
		return file === undefined ? undefined : `, ${shown(file)}`;
	});
}

/** The first processes of which `detail` has something to say, with their commands and ids. */
function processesThat(detail: (process: string) => string | undefined): string[] {
	const found: string[] = [];
	for (const pid of readdirSync("/proc")) {
		if (!/^\d+$/.test(pid)) continue;
		const said = detail(`/proc/${pid}`);
		if (said !== undefined) found.push(`${commandOf(`/proc/${pid}`)} (pid ${pid}${said})`);
		if (found.length >= HOLDERS_SHOWN) break;
	}
	return found;
}

/** Where in `target` a link of /proc points: `/` for `target` itself, undefined for what is elsewhere. */
function placeIn(target: string, link: string): string | undefined {
	try {
		const at = readlinkSync(link);
		if (at === target) return "/";
		return at.startsWith(`${target}/`) ? at.slice(target.length) : undefined;
	} catch {
		// The process or its descriptor is gone, or is not ours to look at: then it cannot be named.
		return undefined;
	}
}

function isForWriting(process: string, fd: string): boolean {
	try {
		const [, flags = "0"] =
			/^flags:\s*([0-7]+)$/m.exec(readFileSync(`${process}/fdinfo/${fd}`, "latin1")) ?? [];
		// O_WRONLY and O_RDWR.
		return (Number.parseInt(flags, 8) & 3) !== 0;
	} catch {
		// As above.
		return false;
	}
}

/** The first file in `target` that a process shares memory with. */
function mappedIn(target: string, process: string): string | undefined {
	try {
		for (const line of readFileSync(`${process}/maps`, "utf8").split("\n")) {
			const [, access = "", file = ""] = /^\S+ (\S+) \S+ \S+ \S+\s+(\/.*)$/.exec(line) ?? [];
			if (access.endsWith("s") && file.startsWith(`${target}/`)) return file.slice(target.length);
		}
	} catch {
		// As above.
	}
	return undefined;
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
