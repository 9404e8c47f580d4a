/** A directory of the tree that a layer is applied to, and the cache of the descriptors of those in use. */
import * as linux from "../../linux/index.ts";
import { CALL_PATH_BYTES, openBelow } from "../tree/walk.ts";
import { toBytes } from "./entry-path.ts";

const OPEN_MAX = 96;
/** Fewer than OPEN_MAX, so that none is closed again before the deepest is open. */
const DEEP_STEP = 32;
const DIRECTORY_FLAGS = linux.O_RDONLY | linux.O_DIRECTORY | linux.O_NOFOLLOW;
const BELOW = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_MAGICLINKS;

/** A directory of the merged tree: of the target, of the lowers, or only of somebody's path. */
export class Directory {
	readonly parent: Directory | undefined;
	/** Latin1; empty for the root. */
	readonly name: string;
	/** Its own path, free of symbolic links; empty for the root. */
	readonly path: string;
	readonly #nameBytes: Buffer;
	readonly children: Map<string, Directory> = new Map();
	/** It exists in the target itself. */
	present = false;
	/** It came to be in the target for what is below it, and has no entry of its own so far. */
	implied = false;
	/** It has nothing to do with what lowers have at its path: a whiteout or another entry came between. */
	fresh = false;
	/** Nothing that lowers have in it shows. */
	opaque = false;
	/** What is made in it gets its group, or its default ACL. */
	setgid = false;
	hasDefaultAcl = false;
	/** Set at the very end, when nothing is made in it any more. */
	atimeNs: bigint | undefined;
	mtimeNs: bigint | undefined;
	defaultAcl: Buffer | undefined;
	/** Names that this layer put here; kept only where the target was not empty. */
	ours: Set<string> | undefined;
	/** Names for which the layer has whiteouts, in overlay form. */
	whiteouts: Set<string> | undefined;
	/** -1 while closed. */
	fd = -1;

	constructor(parent: Directory | undefined, name: string) {
		this.parent = parent;
		this.name = name;
		this.#nameBytes = Buffer.from(name, "latin1");
		this.path = parent === undefined ? "" : parent.pathOf(name);
	}

	pathOf(name: string): string {
		return this.path === "" ? name : `${this.path}/${name}`;
	}

	components(): Buffer[] {
		const names: Buffer[] = [];
		// Not by its path, which is put together only when somebody reads it.
		for (let at: Directory = this; at.parent !== undefined; at = at.parent) names.push(at.#nameBytes);
		return names.reverse();
	}
}

/** Descriptors of the directories used last. The root's stays open. */
export class OpenDirectories {
	readonly #root: Directory;
	/** Least recently used first. */
	readonly #open = new Set<Directory>();

	/** Owns `rootFd` from here on. */
	constructor(root: Directory, rootFd: number) {
		this.#root = root;
		root.fd = rootFd;
	}

	/** An open descriptor of a directory that is present; good until some dozens of others were asked for. */
	fd(directory: Directory): number {
		if (directory === this.#root) return directory.fd;
		if (directory.fd === -1) directory.fd = this.#openDirectory(directory);
		else this.#open.delete(directory);
		this.#open.add(directory);
		if (this.#open.size > OPEN_MAX) {
			const [oldest] = this.#open;
			if (oldest !== undefined) this.close(oldest);
		}
		return directory.fd;
	}

	close(directory: Directory): void {
		if (directory.fd === -1) return;
		this.#open.delete(directory);
		linux.close(directory.fd);
		directory.fd = -1;
	}

	closeAll(): void {
		for (const directory of [...this.#open, this.#root]) this.close(directory);
	}

	#openDirectory({ parent, name, path }: Directory): number {
		if (parent !== undefined && (parent.fd !== -1 || path.length >= CALL_PATH_BYTES))
			return linux.openat(this.#openDeep(parent), toBytes(name), DIRECTORY_FLAGS);
		return linux.openat2(this.#root.fd, toBytes(path), { flags: DIRECTORY_FLAGS, resolve: BELOW });
	}

	/**
	 * A directory at a path that no call takes whole: from the nearest above it that is open, or else from one
	 * DEEP_STEP above, found in pieces. Those in between stay open: who goes back up from here needs them next.
	 */
	#openDeep(directory: Directory): number {
		const above: Directory[] = [];
		let from = directory;
		while (from.fd === -1 && from.parent !== undefined && above.length < DEEP_STEP) {
			above.push(from);
			from = from.parent;
		}
		if (from.fd === -1) {
			from.fd = openBelow(this.#root.fd, from.components());
			this.#open.add(from);
		}
		let { fd } = from;
		for (const next of above.reverse()) fd = this.fd(next);
		return fd;
	}
}
