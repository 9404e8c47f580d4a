/**
 * The last step of applying a layer: what only the whole layer decides. Whiteout devices and opaque xattrs, metadata
 * of directories that have no entry of their own, then default ACLs and times of directories.
 *
 * A whiteout device is made only in a directory that overlayfs merges with a lower one: anywhere else there is nothing
 * to hide, and overlayfs would list the device as a file that cannot be looked up.
 */
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { TreeTarget } from "../contract.ts";
import { makeOpaque, makeWhiteoutDevice } from "../overlay/whiteout.ts";
import { runWalk, type Walk } from "../tree/walk.ts";
import { readXattrs } from "../tree/xattrs.ts";
import type { WarningList } from "../warnings.ts";
import { isClamped, type MetadataWriter } from "./entry-metadata.ts";
import { forPeople, latin1, toBytes } from "./entry-path.ts";
import type { Directory } from "./target-directory.ts";
import type { TargetTree } from "./target-tree.ts";

const PERMISSIONS = 0o7777;

export interface FinishOptions {
	readonly target: TreeTarget;
	readonly metadata: MetadataWriter;
	/** Paths that were brought from a lower for a hard link, and that whiteouts therefore still take away. */
	readonly brought: Set<string>;
	readonly context: JobContext;
	readonly warnings: WarningList;
	/** Told of every inode that was made here, and of every directory of the layer. */
	readonly count: (stat: linux.Stat) => void;
}

export function finishApply(tree: TargetTree, options: FinishOptions): void {
	const finisher = new Finisher(tree, options);
	if (tree.overlay) {
		finisher.hideRoot();
		runWalk(finisher.placeMarks(tree.root));
	}
	runWalk(finisher.finishDirectory(tree.root));
}

class Finisher {
	readonly #tree: TargetTree;
	readonly #options: FinishOptions;

	constructor(tree: TargetTree, options: FinishOptions) {
		this.#tree = tree;
		this.#options = options;
	}

	/** Overlayfs takes no notice of an opaque root: whiteouts say the same there. */
	hideRoot(): void {
		const { root } = this.#tree;
		if (!root.opaque) return;
		root.opaque = false;
		for (const name of this.#tree.lowerRootNames()) this.#tree.whiteOut(root, latin1(name));
	}

	/** Marks a directory and those below it; from the top, since nothing needs a mark below a directory that is hidden. */
	*placeMarks(directory: Directory): Walk {
		const tree = this.#tree;
		if (directory.opaque && !directory.present && tree.lowerOf(directory) !== undefined)
			tree.makePresent(directory);
		if (directory.whiteouts !== undefined) this.#placeWhiteouts(directory, directory.whiteouts);
		for (const child of directory.children.values()) yield this.placeMarks(child);
	}

	/** Gives a directory and those below it what their entries, or the lowers, say; times last. */
	*finishDirectory(directory: Directory): Walk {
		if (!directory.present) return;
		this.#options.context.checkAborted();
		for (const child of directory.children.values()) yield this.finishDirectory(child);
		if (directory.implied) this.#takeMetadata(directory);
		const { parent } = directory;
		const [fd, name] =
			parent === undefined ? [this.#tree.fd(directory), "."] : [this.#tree.fd(parent), directory.name];
		if (parent !== undefined && this.#tree.overlay && (directory.fresh || directory.opaque)) {
			makeOpaque(fd, toBytes(name), this.#options.target.xattrPrefix);
		}
		if (directory.defaultAcl !== undefined) {
			this.#options.metadata.setDefaultAcl(fd, name, directory.defaultAcl, () => forPeople(directory.path));
		}
		if (directory.mtimeNs !== undefined) {
			linux.utimensat(fd, toBytes(name), directory.atimeNs, directory.mtimeNs);
		}
		const stat = linux.fstatat(fd, toBytes(name));
		if (directory.mtimeNs !== undefined && isClamped(directory.mtimeNs, stat.mtimeNs)) {
			this.#options.warnings.add("time", () => forPeople(directory.path));
		}
		this.#options.count(stat);
	}

	#placeWhiteouts(directory: Directory, names: ReadonlySet<string>): void {
		const tree = this.#tree;
		for (const name of names) {
			const path = directory.pathOf(name);
			const stat = tree.lookup(directory, name);
			if (stat !== undefined && linux.isDirectory(stat)) {
				tree.discover(directory, name, stat).fresh = true;
				continue;
			}
			if (stat !== undefined) {
				if (!this.#options.brought.has(path)) continue;
				tree.clear(directory, name);
				this.#options.brought.delete(path);
			}
			if (!this.#isMerged(directory)) continue;
			tree.makePresent(directory);
			const fd = tree.fd(directory);
			if (linux.tryFstatat(fd, toBytes(name)) === undefined) {
				makeWhiteoutDevice(fd, toBytes(name));
				this.#options.count(linux.fstatat(fd, toBytes(name)));
			}
		}
	}

	#isMerged(directory: Directory): boolean {
		const { lowers, lowersUnknown } = this.#options.target;
		if (lowers.length === 0 && lowersUnknown === true) return !this.#tree.isHidden(directory);
		return this.#tree.showsLowers(directory) && this.#tree.lowerOf(directory) !== undefined;
	}

	/** Of a directory without an entry: the lowers' directory, whose place it takes, says what it is like. */
	#takeMetadata(directory: Directory): void {
		const lower = this.#tree.lowerOf(directory);
		const { metadata } = this.#options;
		if (lower === undefined) {
			// The root is as the driver has made it.
			if (directory.parent === undefined) return;
			const bare = { mode: 0o755, uid: 0, gid: 0, xattrs: [] };
			metadata.replace(this.#tree.fd(directory), bare, () => forPeople(directory.path));
			return;
		}
		const { stat } = lower;
		const flags = linux.O_RDONLY | linux.O_DIRECTORY | linux.O_NOFOLLOW;
		const fd = linux.openat(lower.directoryFd, lower.name.length === 0 ? "." : lower.name, flags);
		try {
			const ownFd = this.#tree.fd(directory);
			linux.fchown(ownFd, stat.uid, stat.gid);
			for (const { name, value } of readXattrs(fd)) linux.fsetxattr(ownFd, name, value);
			linux.fchmod(ownFd, stat.mode & PERMISSIONS);
		} finally {
			linux.close(fd);
		}
		directory.atimeNs = stat.atimeNs;
		directory.mtimeNs = stat.mtimeNs;
	}
}
