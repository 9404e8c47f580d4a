/**
 * Finds a directory of a tree in memory by its path, through symbolic links as a chroot into the tree would follow them:
 * `..` and absolute targets stop at the root.
 */
import { type FileTree, NONE } from "../../erofs/index.ts";
import * as linux from "../../linux/index.ts";
import { latin1, NAME_BYTES_MAX, nameTooLong } from "../apply/entry-path.ts";
import { SYMLINKS_MAX, tooManySymlinks, whiteoutDirectory } from "../apply/refusals.ts";
import { WHITEOUT_PREFIX } from "../overlay/whiteout.ts";
import { PATH_BYTES_MAX, pathTooLong } from "../tree/tree-path.ts";

const SLASH = 0x2f;
const DOT = 0x2e;
const WHITEOUT_START = Buffer.from(WHITEOUT_PREFIX);

/** A name, or several with slashes between: `bytes` from `start` to `end`. */
export interface Name {
	readonly bytes: Uint8Array;
	readonly start: number;
	readonly end: number;
}

export class PathWalk {
	/** The deepest directory on the way that is there. */
	directory: number;
	/** Names below it, of which the first is no directory and the others are nothing. */
	readonly missing: Name[] = [];

	readonly #tree: FileTree;
	readonly #path: Name;
	/** Parts of the way that are left, the next one last. */
	readonly #pending: { readonly bytes: Uint8Array; at: number; readonly end: number }[];
	/** How many the way went through. */
	symlinks = 0;
	/** Of the path so far, from the first symbolic link on. */
	#lengthBytes = 0;

	/** Begins at the directory `from`; `bytes` from `at` to `end` is the way. */
	constructor(tree: FileTree, from: number, bytes: Uint8Array, at: number, end: number) {
		this.#tree = tree;
		this.directory = from;
		this.#path = { bytes, start: at, end };
		this.#pending = [{ bytes, at, end }];
	}

	/**
	 * Goes all the way. False where a name is not there, and the tree does not hold all that could be (`isPartial`).
	 * @throws {LamellaError} `EUNSAFE` for symbolic links in a circle and names of whiteouts, `ETAR` for too long a path
	 */
	run(isPartial: boolean): boolean {
		const pending = this.#pending;
		for (let part = pending.at(-1); part !== undefined; part = pending.at(-1)) {
			const { bytes, end } = part;
			const start = part.at;
			let at = start;
			while (at < end && bytes[at] !== SLASH) at++;
			part.at = at + 1;
			if (at >= end) pending.pop();
			if (at > start && !this.#step(bytes, start, at, isPartial)) return false;
		}
		return true;
	}

	#step(bytes: Uint8Array, start: number, end: number, isPartial: boolean): boolean {
		if (bytes[start] === DOT && end - start <= 2) {
			if (end - start === 1) return true;
			if (bytes[start + 1] === DOT) {
				this.#goUp();
				return true;
			}
		}
		const entry = this.missing.length > 0 ? NONE : this.#tree.lookup(this.directory, bytes, start, end);
		if (entry !== NONE) {
			if (this.#tree.isDirectory(entry)) {
				this.directory = entry;
				this.#lengthBytes += end - start + 1;
				if (this.symlinks > 0) this.#checkLength();
				return true;
			}
			if (this.#follow(entry)) return true;
		} else if (isPartial) return false;
		this.missing.push({ bytes, start, end });
		this.#lengthBytes += end - start + 1;
		if (startsWith(bytes, start, end, WHITEOUT_START)) throw whiteoutDirectory(this.#pathSoFar());
		if (end - start > NAME_BYTES_MAX) throw nameTooLong(latin1(bytes.subarray(start, end)));
		if (this.symlinks > 0) this.#checkLength();
		return true;
	}

	/** False where the entry is no symbolic link. */
	#follow(entry: number): boolean {
		const { inodes } = this.#tree;
		const inode = this.#tree.inodeOf(entry);
		if ((inodes.modeOf(inode) & linux.S_IFMT) !== linux.S_IFLNK) return false;
		this.symlinks += 1;
		if (this.symlinks > SYMLINKS_MAX) {
			const { bytes, start, end } = this.#path;
			throw tooManySymlinks(latin1(bytes.subarray(start, end)));
		}
		// A copy: new targets move the tree's own.
		const target = inodes.target(inodes.targetOf(inode)).slice();
		if (target[0] === SLASH) this.directory = this.#tree.root;
		this.#measure();
		this.#pending.push({ bytes: target, at: 0, end: target.length });
		return true;
	}

	#goUp(): void {
		const left = this.missing.pop();
		if (left !== undefined) this.#lengthBytes -= left.end - left.start + 1;
		else if (this.directory !== this.#tree.root) {
			this.#lengthBytes -= this.#tree.nameLength(this.directory) + 1;
			this.directory = this.#tree.parentOf(this.directory);
		}
	}

	#measure(): void {
		this.#lengthBytes = 0;
		for (let at = this.directory; at !== this.#tree.root; at = this.#tree.parentOf(at)) {
			this.#lengthBytes += this.#tree.nameLength(at) + 1;
		}
	}

	/** Through symbolic links the path can be longer than the one that was asked for. */
	#checkLength(): void {
		if (this.#lengthBytes - 1 > PATH_BYTES_MAX) throw pathTooLong(Buffer.from(this.#pathSoFar(), "latin1"));
	}

	#pathSoFar(): string {
		const names = this.missing.map(({ bytes, start, end }) => latin1(bytes.subarray(start, end)));
		const directory = pathOf(this.#tree, this.directory);
		return [...(directory === "" ? [] : [directory]), ...names].join("/");
	}
}

/** An entry's path as latin1 text; empty for the root. */
export function pathOf(tree: FileTree, entry: number): string {
	const names: string[] = [];
	for (let at = entry; at !== tree.root; at = tree.parentOf(at)) names.push(latin1(tree.nameOf(at)));
	return names.reverse().join("/");
}

function startsWith(bytes: Uint8Array, start: number, end: number, prefix: Uint8Array): boolean {
	if (end - start < prefix.length) return false;
	for (let i = 0; i < prefix.length; i++) if (bytes[start + i] !== prefix[i]) return false;
	return true;
}
