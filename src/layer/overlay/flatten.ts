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
import { DirectoryStack } from "../tree/directory-stack.ts";
import { TreePath } from "../tree/tree-path.ts";
import { InodeMap, linkBelow, openTop, runWalk, type Walk } from "../tree/walk.ts";
import { readXattrs } from "../tree/xattrs.ts";
import { type MergedName, MergedWalk } from "./merged-view.ts";

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
		using merged = new MergedWalk(lowers, { xattrPrefix });
		using made = new DirectoryStack(targetFd);
		const flattener = new Flattener(merged, made, context);
		runWalk(flattener.fill(TreePath.root));
		if (sync === true) linux.syncfs(targetFd);
		return { entries: flattener.entries };
	} finally {
		linux.close(targetFd);
	}
}

class Flattener {
	entries = 0;
	readonly #merged: MergedWalk;
	/** Where in the target the walk is. */
	readonly #made: DirectoryStack;
	readonly #rootFd: number;
	readonly #context: JobContext;
	/** Inode of a lower → the path of the copy within the target that takes its further links. */
	readonly #copies = new InodeMap<TreePath>();

	constructor(merged: MergedWalk, made: DirectoryStack, context: JobContext) {
		this.#merged = merged;
		this.#made = made;
		this.#rootFd = made.fd;
		this.#context = context;
	}

	/** Fills the empty directory that the walk is at and gives it its metadata. */
	*fill(path: TreePath): Walk {
		for (const entry of this.#merged.entries()) {
			this.#context.checkAborted();
			if (!this.#isDirectory(entry)) {
				this.#link(entry, path);
				continue;
			}
			linux.mkdirat(this.#made.fd, entry.name, PRIVATE_MODE);
			this.#merged.enter(entry);
			this.#made.enter(entry.name);
			yield this.fill(path.child(entry.name));
			this.#merged.leave();
			this.#made.leave();
		}
		this.entries += 1;
		// Last, for every child above has changed its times.
		const { top } = this.#merged;
		if (top !== undefined) copyDirectoryMetadata(top.fd, this.#made.fd);
	}

	#isDirectory(entry: MergedName): boolean {
		if (entry.type !== DT_UNKNOWN) return entry.type === DT_DIR;
		return linux.isDirectory(linux.fstatat(this.#merged.fdOf(entry), entry.name));
	}

	#link(entry: MergedName, path: TreePath): void {
		this.entries += 1;
		const { name } = entry;
		try {
			linux.linkat(this.#merged.fdOf(entry), name, this.#made.fd, name, 0);
		} catch (error) {
			if (!linux.isSystemError(error, "EMLINK", "EXDEV", "EPERM", "EOPNOTSUPP")) throw error;
			this.#copy(entry, path);
		}
	}

	#copy(entry: MergedName, path: TreePath): void {
		const { name } = entry;
		const directoryFd = this.#merged.fdOf(entry);
		const targetFd = this.#made.fd;
		const stat = linux.fstatat(directoryFd, name);
		const copy = this.#copies.get(stat);
		if (copy !== undefined) {
			try {
				linkBelow(this.#rootFd, copy, targetFd, name);
				return;
			} catch (error) {
				if (!linux.isSystemError(error, "EMLINK")) throw error;
			}
		}
		cloneFile({ directoryFd, name, stat }, targetFd, name);
		if (stat.nlink > 1) this.#copies.set(stat, path.child(name));
	}
}

function copyDirectoryMetadata(fromFd: number, toFd: number): void {
	const stat = linux.fstat(fromFd);
	linux.fchown(toFd, stat.uid, stat.gid);
	for (const { name, value } of readXattrs(fromFd)) linux.fsetxattr(toFd, name, value);
	linux.fchmod(toFd, stat.mode & PERMISSIONS);
	linux.futimens(toFd, stat.atimeNs, stat.mtimeNs);
}
