/**
 * Copies a tree whole: types, owners, modes, ns times, xattrs, link sets and holes; content by reflink where the
 * filesystem can, else within the kernel. The original is only read.
 */
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { OverlayXattrPrefix } from "../contract.ts";
import type { LayerJobs } from "../jobs/job-contract.ts";
import { asLamellaError } from "../system-failure.ts";
import { cloneFile, tryLink } from "./clone-file.ts";
import { DirectoryStack } from "./directory-stack.ts";
import { TreePath } from "./tree-path.ts";
import { InodeMap, linkBelow, openTop, runWalk, type Walk } from "./walk.ts";
import { readXattrs } from "./xattrs.ts";

const PRIVATE_MODE = 0o700;
const PERMISSIONS = 0o7777;

/**
 * Copies the tree `from` into the directory `to`, which is made where it is missing and else must be empty. Sockets
 * are copied as what they are on disk, names that nobody listens to. `entries` counts what was made, the root included.
 * @throws {LamellaError} `ENOSPACE`, `EPERMISSION`, `ESYSTEM`, `EABORTED`
 */
export function copyTree(request: LayerJobs["copy"]["request"], context: JobContext): { entries: number } {
	const { share = false, marks } = request;
	let path = TreePath.root;
	const fds: number[] = [];
	try {
		const fromFd = openTop(request.from);
		fds.push(fromFd);
		makeIfMissing(request.to);
		const toFd = openTop(request.to);
		fds.push(toFd);
		const copier = new TreeCopier(toFd, { context, share, marks }, (current) => {
			path = current;
		});
		using from = new DirectoryStack(fromFd);
		using to = new DirectoryStack(toFd);
		runWalk(copier.copyDirectory(from, to, path));
		if (request.sync === true) linux.syncfs(toFd);
		return { entries: copier.entries };
	} catch (error) {
		throw asLamellaError(error, "copy", () => `${request.from}/${path}`);
	} finally {
		for (const fd of fds) linux.close(fd);
	}
}

class TreeCopier {
	entries = 0;
	readonly #rootFd: number;
	readonly #context: JobContext;
	readonly #share: boolean;
	readonly #marks: OverlayXattrPrefix | undefined;
	readonly #at: (path: TreePath) => void;
	/** Inode of the original → the path of its copy, for its further links. */
	readonly #copies = new InodeMap<TreePath>();

	constructor(
		rootFd: number,
		{
			context,
			share,
			marks,
		}: {
			readonly context: JobContext;
			readonly share: boolean;
			readonly marks: OverlayXattrPrefix | undefined;
		},
		at: (path: TreePath) => void,
	) {
		this.#rootFd = rootFd;
		this.#context = context;
		this.#share = share;
		this.#marks = marks;
		this.#at = at;
	}

	*copyDirectory(from: DirectoryStack, to: DirectoryStack, path: TreePath): Walk {
		for (const { name } of linux.readDirectory(from.fd)) {
			this.#context.checkAborted();
			const itsPath = path.child(name);
			this.#at(itsPath);
			const stat = linux.fstatat(from.fd, name);
			if (linux.isDirectory(stat)) {
				linux.mkdirat(to.fd, name, PRIVATE_MODE);
				from.enter(name);
				to.enter(name);
				yield this.copyDirectory(from, to, itsPath);
				from.leave();
				to.leave();
			} else if (
				!(this.#share && tryLink(from.fd, name, to.fd, name)) &&
				!this.#linkToCopy(stat, to.fd, name)
			) {
				cloneFile({ directoryFd: from.fd, name, stat }, to.fd, name);
				if (linux.isRegular(stat) && stat.sizeBytes === 0) this.#copyWhiteoutMark(from.fd, name, to.fd);
				if (stat.nlink > 1) this.#copies.set(stat, itsPath);
			}
			this.entries += linux.isDirectory(stat) ? 0 : 1;
		}
		this.entries += 1;
		copyMetadata(from.fd, to.fd, this.#marks);
	}

	#copyWhiteoutMark(fromFd: number, name: Buffer, toFd: number): void {
		if (this.#marks === undefined) return;
		const xattr = `${this.#marks}whiteout`;
		const value = linux.lgetxattrAt(fromFd, name, xattr);
		if (value !== undefined) linux.lsetxattrAt(toFd, name, xattr, value);
	}

	#linkToCopy(stat: linux.Stat, toFd: number, name: Buffer): boolean {
		const copy = stat.nlink > 1 ? this.#copies.get(stat) : undefined;
		if (copy === undefined) return false;
		try {
			linkBelow(this.#rootFd, copy, toFd, name);
			return true;
		} catch (error) {
			// As many links as the filesystem takes, or none: another copy starts here.
			if (linux.isSystemError(error, "EMLINK", "EPERM", "EOPNOTSUPP")) return false;
			throw error;
		}
	}
}

/** After all children, each of which has changed the directory's times. */
function copyMetadata(fromFd: number, toFd: number, marks: OverlayXattrPrefix | undefined): void {
	const stat = linux.fstat(fromFd);
	linux.fchown(toFd, stat.uid, stat.gid);
	for (const { name, value } of readXattrs(fromFd)) linux.fsetxattr(toFd, name, value);
	const opaque = marks === undefined ? undefined : linux.fgetxattr(fromFd, `${marks}opaque`);
	if (opaque !== undefined) linux.fsetxattr(toFd, `${marks}opaque`, opaque);
	linux.fchmod(toFd, stat.mode & PERMISSIONS);
	linux.futimens(toFd, stat.atimeNs, stat.mtimeNs);
}

function makeIfMissing(directory: string): void {
	try {
		linux.mkdirat(linux.AT_FDCWD, directory, PRIVATE_MODE);
	} catch (error) {
		if (!linux.isSystemError(error, "EEXIST")) throw error;
	}
}
