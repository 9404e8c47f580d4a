/** Finds the directories that a layer's entries are in, one after the other: most are in that of the entry before. */
import type { FileTree } from "../../erofs/index.ts";
import { latin1 } from "../apply/entry-path.ts";
import { type Name, PathWalk } from "./path-walk.ts";

const SLASH = 0x2f;

/** What `find` found. */
export interface FoundDirectory {
	/** The deepest directory on the way that is there. */
	readonly directory: number;
	/** Names below it that do not exist, or are not directories, so far. */
	readonly missing: readonly Name[];
}

const NOTHING: readonly Name[] = [];
/** Paths that are remembered besides the last one. */
const PATHS_MAX = 1000;

export class DirectoryFinder {
	readonly #tree: FileTree;
	readonly #isPartial: boolean;
	/** The path found last, where all of it is there; -1 bytes where that is not known any more. */
	#path = new Uint8Array(4096);
	#length = -1;
	#last: FoundDirectory;
	/** Paths that lead through symbolic links: a path can go through hundreds. */
	readonly #throughLinks = new Map<string, FoundDirectory>();
	readonly #root: FoundDirectory;

	/** `isPartial`: there may be more than the tree holds. */
	constructor(tree: FileTree, isPartial: boolean) {
		this.#tree = tree;
		this.#isPartial = isPartial;
		this.#root = { directory: tree.root, missing: NOTHING };
		this.#last = this.#root;
	}

	/**
	 * The directory at the path `bytes` from `start` to `end`, through symbolic links. Undefined where only what the tree
	 * does not hold decides.
	 * @throws {LamellaError} `EUNSAFE`, `ETAR` as PathWalk
	 */
	find(bytes: Uint8Array, start: number, end: number): FoundDirectory | undefined {
		const length = end - start;
		if (length === 0) return this.#root;
		const known = this.#length;
		let from = this.#tree.root;
		let at = start;
		if (known > 0 && length >= known && this.#isSame(bytes, start)) {
			if (length === known) return this.#last;
			if (bytes[start + known] === SLASH) {
				from = this.#last.directory;
				at = start + known + 1;
			}
		}
		const throughLinks =
			this.#throughLinks.size === 0 ? undefined : this.#throughLinks.get(textOf(bytes, start, end));
		if (throughLinks !== undefined) return throughLinks;
		const walk = new PathWalk(this.#tree, from, bytes, at, end);
		if (!walk.run(this.#isPartial)) return undefined;
		if (walk.missing.length > 0) return walk;
		this.remember(bytes, start, end, walk.directory);
		if (walk.symlinks > 0) {
			if (this.#throughLinks.size === PATHS_MAX) this.#throughLinks.clear();
			this.#throughLinks.set(textOf(bytes, start, end), this.#last);
		}
		return this.#last;
	}

	/** The path leads to that directory now. */
	remember(bytes: Uint8Array, start: number, end: number, directory: number): void {
		const length = end - start;
		if (length > this.#path.length) this.#path = new Uint8Array(2 * length);
		for (let i = 0; i < length; i++) this.#path[i] = bytes[start + i] ?? 0;
		this.#length = length;
		this.#last = { directory, missing: NOTHING };
	}

	/** To be called when a directory or symbolic link goes, or becomes something else. */
	forget(): void {
		this.#length = -1;
		this.#throughLinks.clear();
	}

	/** Whether `bytes` begin with the path found last. */
	#isSame(bytes: Uint8Array, start: number): boolean {
		const path = this.#path;
		// From the end, where paths differ.
		for (let i = this.#length - 1; i >= 0; i--) if (path[i] !== bytes[start + i]) return false;
		return true;
	}
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
	return latin1(bytes.subarray(start, end));
}
