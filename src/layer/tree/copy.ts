/**
 * Copies a tree whole: types, owners, modes, ns times, xattrs, link sets and holes; content by reflink where the
 * filesystem can, else within the kernel. The original is only read.
 */
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { LayerJobs } from "../jobs/job-contract.ts";
import { asLamellaError } from "../system-failure.ts";
import { cloneFile, tryLink } from "./clone-file.ts";
import { childPath, InodeMap, openTop, withChild } from "./walk.ts";
import { readXattrs } from "./xattrs.ts";

const PRIVATE_MODE = 0o700;
const PERMISSIONS = 0o7777;

/**
 * Copies the tree `from` into the directory `to`, which is made where it is missing and else must be empty. Sockets
 * are copied as what they are on disk, names that nobody listens to. `entries` counts what was made, the root included.
 * @throws {LamellaError} `ENOSPACE`, `EPERMISSION`, `ESYSTEM`, `EABORTED`
 */
export function copyTree(request: LayerJobs["copy"]["request"], context: JobContext): { entries: number } {
	const { from, to, sync, share = false } = request;
	let path: Buffer = Buffer.alloc(0);
	const fds: number[] = [];
	try {
		const fromFd = openTop(from);
		fds.push(fromFd);
		makeIfMissing(to);
		const toFd = openTop(to);
		fds.push(toFd);
		const copier = new TreeCopier(toFd, { context, share }, (current) => {
			path = current;
		});
		copier.copyDirectory(fromFd, toFd, path);
		if (sync === true) linux.syncfs(toFd);
		return { entries: copier.entries };
	} catch (error) {
		throw asLamellaError(error, "copy", () => `${from}/${linux.escapePath(path)}`);
	} finally {
		for (const fd of fds) linux.close(fd);
	}
}

class TreeCopier {
	entries = 0;
	readonly #rootFd: number;
	readonly #context: JobContext;
	readonly #share: boolean;
	readonly #at: (path: Buffer) => void;
	/** Inode of the original → the path of its copy, for its further links. */
	readonly #copies = new InodeMap<Buffer>();

	constructor(
		rootFd: number,
		{ context, share }: { readonly context: JobContext; readonly share: boolean },
		at: (path: Buffer) => void,
	) {
		this.#rootFd = rootFd;
		this.#context = context;
		this.#share = share;
		this.#at = at;
	}

	copyDirectory(fromFd: number, toFd: number, path: Buffer): void {
		this.#context.checkAborted();
		for (const { name } of linux.readDirectory(fromFd)) {
			const itsPath = childPath(path, name);
			this.#at(itsPath);
			const stat = linux.fstatat(fromFd, name);
			if (linux.isDirectory(stat)) {
				linux.mkdirat(toFd, name, PRIVATE_MODE);
				withChild(fromFd, name, (from) =>
					withChild(toFd, name, (to) => this.copyDirectory(from, to, itsPath)),
				);
			} else if (!(this.#share && tryLink(fromFd, name, toFd, name)) && !this.#linkToCopy(stat, toFd, name)) {
				cloneFile({ directoryFd: fromFd, name, stat }, toFd, name);
				if (stat.nlink > 1) this.#copies.set(stat, itsPath);
			}
			this.entries += linux.isDirectory(stat) ? 0 : 1;
		}
		this.entries += 1;
		copyMetadata(fromFd, toFd);
	}

	#linkToCopy(stat: linux.Stat, toFd: number, name: Buffer): boolean {
		const copy = stat.nlink > 1 ? this.#copies.get(stat) : undefined;
		if (copy === undefined) return false;
		try {
			linux.linkat(this.#rootFd, copy, toFd, name);
			return true;
		} catch (error) {
			// A path that is too long, or as many links as the filesystem takes: another copy starts here.
			if (linux.isSystemError(error, "EMLINK", "ENAMETOOLONG", "EPERM", "EOPNOTSUPP")) return false;
			throw error;
		}
	}
}

/** After all children, each of which has changed the directory's times. */
function copyMetadata(fromFd: number, toFd: number): void {
	const stat = linux.fstat(fromFd);
	linux.fchown(toFd, stat.uid, stat.gid);
	for (const { name, value } of readXattrs(fromFd)) linux.fsetxattr(toFd, name, value);
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
