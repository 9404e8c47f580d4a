/**
 * Makes a `root/`: the merged view of lowers as one tree, whose files are hard links to the inodes that the lowers
 * hold. Only directories are made anew, with the metadata of the topmost lower that has them. And makes a `fold/`: the
 * same of lowers that stand `over` others, as one tree in overlay form, with the whiteouts and opaque directories that it needs.
 *
 * Shared inodes are never written to; only their link count (and so ctime) changes. What cannot be linked is
 * copied: all of it on another filesystem, and single files that have as many links as the filesystem takes.
 */
import { LamellaError } from "../../errors/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { OverlayXattrPrefix } from "../contract.ts";
import type { LayerJobs } from "../jobs/job-contract.ts";
import { cloneFile } from "../tree/clone-file.ts";
import { DirectoryStack } from "../tree/directory-stack.ts";
import { TreePath } from "../tree/tree-path.ts";
import { InodeMap, linkBelow, openTop, runWalk, type Walk } from "../tree/walk.ts";
import { readXattrs } from "../tree/xattrs.ts";
import { type MergedName, MergedView, MergedWalk } from "./merged-view.ts";
import { makeOpaque, makeWhiteoutDevice } from "./whiteout.ts";

const DT_UNKNOWN = 0;
const DT_DIR = 4;
const PRIVATE_MODE = 0o700;
const PERMISSIONS = 0o7777;

/**
 * Hard-links the merged view of `lowers` (top first; each a `diff/` in overlay form or a whole `root/`) to the
 * empty directory `target`. Whiteouts and opaque directories are resolved, but for those that hide something of the trees
 * `over` which the lowers stand. `entries` counts what was made, the root included. With `sync`, syncfs of the target at the end.
 * @throws {LamellaError} `EINVALID` where `target` is not empty, `ENOTSUPPORTED` for redirected lowers, `EABORTED`
 */
export function flattenTree(
	request: LayerJobs["flatten"]["request"],
	context: JobContext,
): { entries: number } {
	const { lowers, over = [], target, xattrPrefix, sync } = request;
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
		using merged = new MergedWalk(lowers, { xattrPrefix, keepWhiteouts: over.length > 0 });
		using below = new MergedView(over, { xattrPrefix });
		using made = new DirectoryStack(targetFd);
		const marks = over.length === 0 ? undefined : { below, xattrPrefix };
		const flattener = new Flattener(merged, made, context, marks);
		runWalk(flattener.fill(TreePath.root));
		if (sync === true) linux.syncfs(targetFd);
		return { entries: flattener.entries };
	} finally {
		linux.close(targetFd);
	}
}

/** What marks are made for. */
interface Marks {
	readonly below: MergedView;
	readonly xattrPrefix: OverlayXattrPrefix;
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

	readonly #marks: Marks | undefined;
	/** Names of the directories down to where the walk is. */
	readonly #names: Buffer[] = [];

	constructor(merged: MergedWalk, made: DirectoryStack, context: JobContext, marks: Marks | undefined) {
		this.#marks = marks;
		this.#merged = merged;
		this.#made = made;
		this.#rootFd = made.fd;
		this.#context = context;
	}

	/** Fills the empty directory that the walk is at and gives it its metadata. */
	*fill(path: TreePath): Walk {
		for (const entry of this.#merged.entries()) {
			this.#context.checkAborted();
			if (entry.isWhiteout) {
				this.#whiteOut(entry.name);
				continue;
			}
			if (!this.#isDirectory(entry)) {
				this.#link(entry, path);
				continue;
			}
			linux.mkdirat(this.#made.fd, entry.name, PRIVATE_MODE);
			const isHidden = this.#merged.hidesWhatIsBelow;
			this.#merged.enter(entry);
			this.#made.enter(entry.name);
			this.#names.push(entry.name);
			if (!isHidden && this.#merged.hidesWhatIsBelow) this.#hideDirectory();
			yield this.fill(path.child(entry.name));
			this.#names.pop();
			this.#merged.leave();
			this.#made.leave();
		}
		this.entries += 1;
		// Last, for every child above has changed its times.
		const { top } = this.#merged;
		if (top !== undefined) copyDirectoryMetadata(top.fd, this.#made.fd);
	}

	/** A whiteout of something that only the lowers had hides nothing, and overlayfs might list it as a file. */
	#whiteOut(name: Buffer): void {
		if (this.#marks === undefined || this.#merged.hidesWhatIsBelow) return;
		if (this.#marks.below.lookup([...this.#names, name]) === undefined) return;
		makeWhiteoutDevice(this.#made.fd, name);
		this.entries += 1;
	}

	/** The directory that the walk is at takes the place of one below. */
	#hideDirectory(): void {
		const { below, xattrPrefix } = this.#marks ?? {};
		if (xattrPrefix === undefined || below?.lookup(this.#names) === undefined) return;
		makeOpaque(this.#made.fd, ".", xattrPrefix);
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
