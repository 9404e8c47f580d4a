/**
 * Makes a `root/`: the merged view of lowers as one tree, whose files are hard links to the inodes that the lowers
 * hold. Only directories are made anew, with the metadata of the topmost lower that has them.
 *
 * Shared inodes are never written to; only their link count (and so ctime) changes. What cannot be linked is
 * copied: all of it on another filesystem, and single files that have as many links as the filesystem takes.
 */
import { LamellaError } from "../../errors/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { LayerJobs } from "../jobs/job-contract.ts";
import { cloneFile } from "../tree/clone-file.ts";
import { childPath, InodeMap, openTop, withChild } from "../tree/walk.ts";
import { readXattrs } from "../tree/xattrs.ts";
import { MergedDirectory, type MergedName } from "./merged-view.ts";

const DT_UNKNOWN = 0;
const DT_DIR = 4;
const PRIVATE_MODE = 0o700;
const PERMISSIONS = 0o7777;

/**
 * Hard-links the merged view of `lowers` (top first; each a `diff/` in overlay form or a whole `root/`) to the
 * empty directory `target`. Whiteouts and opaque directories are resolved, and directories carry no overlay
 * xattrs. `entries` counts what was made, the root included. With `sync`, syncfs of the target at the end.
 * @throws {LamellaError} `EINVALID` where `target` is not empty, `ENOTSUPPORTED` for redirected lowers, `EABORTED`
 */
export function flattenTree(
	request: LayerJobs["flatten"]["request"],
	context: JobContext,
): { entries: number } {
	const { lowers, target, xattrPrefix, sync } = request;
	const targetFd = openTop(target);
	try {
		if (linux.readDirectory(targetFd).length > 0) {
			throw new LamellaError(
				"EINVALID",
				`"${target}" is not empty, and a tree is flattened only into an empty directory`,
				{
					path: target,
				},
			);
		}
		using root = MergedDirectory.openRoot(lowers, { xattrPrefix });
		const flattener = new Flattener(targetFd, context);
		flattener.fill(root, targetFd, Buffer.alloc(0));
		if (sync === true) linux.syncfs(targetFd);
		return { entries: flattener.entries };
	} finally {
		linux.close(targetFd);
	}
}

class Flattener {
	entries = 0;
	readonly #rootFd: number;
	readonly #context: JobContext;
	/** Inode of a lower → the path of the copy within the target that takes its further links. */
	readonly #copies = new InodeMap<Buffer>();

	constructor(rootFd: number, context: JobContext) {
		this.#rootFd = rootFd;
		this.#context = context;
	}

	/** Fills the open, empty directory `targetFd` and gives it its metadata. */
	fill(merged: MergedDirectory, targetFd: number, path: Buffer): void {
		this.#context.checkAborted();
		for (const entry of merged.entries()) {
			if (isDirectoryName(entry)) {
				linux.mkdirat(targetFd, entry.name, PRIVATE_MODE);
				using child = merged.openChild(entry);
				withChild(targetFd, entry.name, (fd) => this.fill(child, fd, childPath(path, entry.name)));
			} else {
				this.#link(entry, targetFd, path);
			}
		}
		this.entries += 1;
		// Last, for every child above has changed its times.
		if (merged.topFd !== undefined) copyDirectoryMetadata(merged.topFd, targetFd);
	}

	#link(entry: MergedName, targetFd: number, path: Buffer): void {
		this.entries += 1;
		const { directoryFd, name } = entry;
		try {
			linux.linkat(directoryFd, name, targetFd, name, 0);
		} catch (error) {
			if (!linux.isSystemError(error, "EMLINK", "EXDEV", "EPERM", "EOPNOTSUPP")) throw error;
			this.#copy(entry, targetFd, path);
		}
	}

	#copy({ directoryFd, name }: MergedName, targetFd: number, path: Buffer): void {
		const stat = linux.fstatat(directoryFd, name, linux.AT_SYMLINK_NOFOLLOW);
		const copy = this.#copies.get(stat);
		if (copy !== undefined) {
			try {
				linux.linkat(this.#rootFd, copy, targetFd, name, 0);
				return;
			} catch (error) {
				if (!linux.isSystemError(error, "EMLINK", "ENAMETOOLONG")) throw error;
			}
		}
		cloneFile({ directoryFd, name, stat }, targetFd, name);
		if (stat.nlink > 1) this.#copies.set(stat, childPath(path, name));
	}
}

function isDirectoryName({ type, directoryFd, name }: MergedName): boolean {
	if (type !== DT_UNKNOWN) return type === DT_DIR;
	return linux.isDirectory(linux.fstatat(directoryFd, name, linux.AT_SYMLINK_NOFOLLOW));
}

function copyDirectoryMetadata(fromFd: number, toFd: number): void {
	const stat = linux.fstat(fromFd);
	linux.fchown(toFd, stat.uid, stat.gid);
	for (const { name, value } of readXattrs(fromFd)) linux.fsetxattr(toFd, name, value);
	linux.fchmod(toFd, stat.mode & PERMISSIONS);
	linux.futimens(toFd, stat.atimeNs, stat.mtimeNs);
}
