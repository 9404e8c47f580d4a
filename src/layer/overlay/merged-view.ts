/**
 * A list of lowers as overlayfs would show them merged, without a mount: lookup, readdir and symlink resolution.
 *
 * Two ways in. `MergedView` answers for whole paths and keeps the directories of the last path open, so that
 * paths asked for in tree order cost one step each:
 *
 *     using view = new MergedView(["/layers/2/diff", "/layers/1/root"]);   // top first
 *     const found = view.lookup([Buffer.from("etc"), Buffer.from("passwd")]);
 *     if (found) linux.linkat(found.directoryFd, found.name, targetFd, found.name);
 *
 * `MergedDirectory` is one merged directory, for those who walk a tree themselves: `lookup(name)`, `entries()`,
 * `openChild(entry)`; each must be closed.
 *
 * Everything is relative to directory descriptors and no symbolic link is ever followed below a lower's root.
 * It only reads, and holds no cache of file content or stats; after the directories of a lower changed, call
 * `forget()`.
 */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { OverlayXattrPrefix } from "../contract.ts";
import { type DirectoryMarks, MarkReader, NO_MARKS } from "./overlay-marks.ts";

const SYMLINKS_MAX = 255;
const SLASH = 0x2f;
const DOT = 0x2e;
const DT_UNKNOWN = 0;
const DT_CHR = 2;
const DT_REG = 8;
const DIRECTORY_FLAGS = linux.O_RDONLY | linux.O_DIRECTORY | linux.O_NOFOLLOW;

export interface MergedViewOptions {
	/** Which overlay xattrs count; both where absent. */
	readonly xattrPrefix?: OverlayXattrPrefix | undefined;
	/** The lowers are plain trees: no whiteouts, no opaque directories. For the trees of vfs. */
	readonly plain?: boolean | undefined;
}

/** A name in a merged directory, with what it is and which lower it comes from. */
export interface MergedEntry {
	/** Empty for the root: use `directoryFd` with `.` then. */
	readonly name: Buffer;
	readonly stat: linux.Stat;
	/** Index in `lowers` of the layer that wins. */
	readonly layerIndex: number;
	/**
	 * Open directory of that lower that holds `name`: `fstatat`, `readlinkat`, `linkat`, `openat(O_NOFOLLOW)` on
	 * (directoryFd, name). Valid until the next call on the view, or until the MergedDirectory is closed.
	 */
	readonly directoryFd: number;
}

/** A name as readdir gives it. `type` is a DT_* constant, DT_UNKNOWN where the filesystem does not tell. */
export interface MergedName {
	readonly name: Buffer;
	readonly type: number;
	readonly ino: bigint;
	readonly layerIndex: number;
	readonly directoryFd: number;
}

/** One lower's part of a merged directory. */
interface Part {
	readonly layerIndex: number;
	readonly fd: number;
	readonly marks: DirectoryMarks;
}

/** A merged directory, held open. Its parts are top first. */
export class MergedDirectory implements Disposable {
	readonly #parts: readonly Part[];
	readonly #marks: MarkReader;
	readonly #plain: boolean;
	#open = true;

	private constructor(parts: readonly Part[], marks: MarkReader, plain: boolean) {
		this.#parts = parts;
		this.#marks = marks;
		this.#plain = plain;
	}

	/** The merged root of `lowers`, top first; without lowers an empty directory. */
	static openRoot(lowers: readonly string[], options: MergedViewOptions = {}): MergedDirectory {
		const marks = new MarkReader(options.xattrPrefix);
		const plain = options.plain === true;
		const parts: Part[] = [];
		try {
			for (const [layerIndex, lower] of lowers.entries()) {
				// A lower's own path may go through symbolic links: it is the store's, not an image's.
				const fd = linux.openat(linux.AT_FDCWD, lower, linux.O_RDONLY | linux.O_DIRECTORY);
				if (addPart(parts, { layerIndex, fd, marks, plain, where: () => lower })) break;
			}
		} catch (error) {
			for (const part of parts) linux.close(part.fd);
			throw error;
		}
		return new MergedDirectory(parts, marks, plain);
	}

	/** The directory in the topmost lower that has it: its metadata is what the merged directory shows. */
	get topFd(): number | undefined {
		return this.#parts[0]?.fd;
	}

	/** Index of the topmost lower that has this directory. */
	get topLayerIndex(): number | undefined {
		return this.#parts[0]?.layerIndex;
	}

	/** What `name` is in the merged directory; undefined where there is nothing or a whiteout. */
	lookup(name: Buffer): MergedEntry | undefined {
		for (const part of this.#parts) {
			const stat = linux.tryFstatat(part.fd, name, linux.AT_SYMLINK_NOFOLLOW);
			if (stat === undefined) continue;
			if (this.#isWhiteout(part, name, stat)) return undefined;
			return { name, stat, layerIndex: part.layerIndex, directoryFd: part.fd };
		}
		return undefined;
	}

	/** Opens a directory that `lookup` found here (or a name of `entries` that is a directory). */
	openChild(entry: { readonly name: Buffer; readonly layerIndex: number }): MergedDirectory {
		const parts: Part[] = [];
		const where = (): string => linux.escapePath(entry.name);
		const context = { marks: this.#marks, plain: this.#plain, where };
		try {
			for (const part of this.#parts) {
				if (part.layerIndex < entry.layerIndex) continue;
				if (parts.length > 0) {
					const stat = linux.tryFstatat(part.fd, entry.name, linux.AT_SYMLINK_NOFOLLOW);
					if (stat === undefined) continue;
					// What is not a directory (a whiteout too) hides all that is below it.
					if (!linux.isDirectory(stat)) break;
				}
				const fd = linux.openat(part.fd, entry.name, DIRECTORY_FLAGS);
				if (addPart(parts, { layerIndex: part.layerIndex, fd, ...context })) break;
			}
		} catch (error) {
			for (const part of parts) linux.close(part.fd);
			throw error;
		}
		return new MergedDirectory(parts, this.#marks, this.#plain);
	}

	/** Every name in the merged directory, whiteouts resolved, sorted bytewise. */
	entries(): MergedName[] {
		const [only] = this.#parts;
		if (only === undefined) return [];
		if (this.#parts.length === 1) return this.#partNames(only).sort(byName);
		const seen = new Set<string>();
		const names: MergedName[] = [];
		for (const part of this.#parts) {
			for (const entry of linux.readDirectory(part.fd)) {
				const key = entry.name.toString("latin1");
				if (seen.has(key)) continue;
				seen.add(key);
				const kept = this.#visible(part, entry);
				if (kept !== undefined) names.push(kept);
			}
		}
		return names.sort(byName);
	}

	close(): void {
		if (!this.#open) return;
		this.#open = false;
		for (const part of this.#parts) linux.close(part.fd);
	}

	[Symbol.dispose](): void {
		this.close();
	}

	#partNames(part: Part): MergedName[] {
		return linux
			.readDirectory(part.fd)
			.map((entry) => this.#visible(part, entry))
			.filter((name) => name !== undefined);
	}

	#visible(part: Part, entry: linux.DirectoryEntry): MergedName | undefined {
		const { name, type, ino } = entry;
		const mayBeWhiteout =
			!this.#plain &&
			(type === DT_CHR || type === DT_UNKNOWN || (part.marks.xattrWhiteouts && type === DT_REG));
		if (mayBeWhiteout) {
			const stat = linux.tryFstatat(part.fd, name, linux.AT_SYMLINK_NOFOLLOW);
			if (stat === undefined || this.#isWhiteout(part, name, stat)) return undefined;
		}
		return { name, type, ino, layerIndex: part.layerIndex, directoryFd: part.fd };
	}

	#isWhiteout(part: Part, name: Buffer, stat: linux.Stat): boolean {
		return !this.#plain && this.#marks.isWhiteout(part.marks, part.fd, name, stat);
	}
}

interface NewPart {
	readonly layerIndex: number;
	readonly fd: number;
	readonly marks: MarkReader;
	readonly plain: boolean;
	readonly where: () => string;
}

/** Adds a part, and owns its fd from here on; returns whether the merge ends with it. */
function addPart(parts: Part[], { layerIndex, fd, marks, plain, where }: NewPart): boolean {
	// First of all, so that whoever catches an error closes this fd too.
	const index = parts.push({ layerIndex, fd, marks: NO_MARKS }) - 1;
	if (plain) return true;
	const found = marks.directory(fd, where);
	if (found !== NO_MARKS) parts[index] = { layerIndex, fd, marks: found };
	return found.opaque;
}

function byName(a: MergedName, b: MergedName): number {
	return Buffer.compare(a.name, b.name);
}

/** See the head of the file. Paths are lists of components, none of them empty, `.` or `..` but in `resolve`. */
export class MergedView implements Disposable {
	readonly lowers: readonly string[];
	readonly #options: MergedViewOptions;
	/** The directories of the last path that was asked for; [0] is the root and has an empty name. */
	#stack: { readonly name: Buffer; readonly directory: MergedDirectory }[] = [];

	constructor(lowers: readonly string[], options: MergedViewOptions = {}) {
		this.lowers = lowers;
		this.#options = options;
	}

	/** What the path is in the merged view; `[]` is the root. Undefined where there is nothing. */
	lookup(components: readonly Buffer[]): MergedEntry | undefined {
		const name = components.at(-1);
		if (name !== undefined) return this.#descend(components, components.length - 1)?.lookup(name);
		const root = this.#descend([], 0);
		if (root?.topFd === undefined || root.topLayerIndex === undefined) return undefined;
		return {
			name: Buffer.alloc(0),
			stat: linux.fstat(root.topFd),
			layerIndex: root.topLayerIndex,
			directoryFd: root.topFd,
		};
	}

	/** The names in a merged directory, sorted bytewise; undefined where the path is no directory. */
	readDirectory(components: readonly Buffer[]): MergedName[] | undefined {
		return this.#descend(components, components.length)?.entries();
	}

	/** A merged directory for the caller to walk and to close; undefined where the path is no directory. */
	openDirectory(components: readonly Buffer[]): MergedDirectory | undefined {
		const name = components.at(-1);
		if (name === undefined) return MergedDirectory.openRoot(this.lowers, this.#options);
		const parent = this.#descend(components, components.length - 1);
		const entry = parent?.lookup(name);
		return entry !== undefined && linux.isDirectory(entry.stat) ? parent?.openChild(entry) : undefined;
	}

	/**
	 * Resolves symbolic links within the merged root, as if chrooted there: absolute targets start at the root,
	 * `..` stops at it, and what does not exist is kept as it is. `components` may hold `.` and `..`; the result
	 * holds neither. The last component is resolved only with `followLast`. Same rule as containerd's RootPath.
	 * @throws {LamellaError} `EUNSAFE` after 255 links.
	 */
	resolve(components: readonly Buffer[], { followLast }: { readonly followLast: boolean }): Buffer[] {
		const pending = [...components].reverse();
		const resolved: Buffer[] = [];
		let links = 0;
		for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
			if (next.length === 0 || isDot(next)) continue;
			if (isDotDot(next)) {
				resolved.pop();
				continue;
			}
			resolved.push(next);
			if (pending.length === 0 && !followLast) break;
			const entry = this.lookup(resolved);
			if (entry === undefined || !linux.isSymlink(entry.stat)) continue;
			links += 1;
			if (links > SYMLINKS_MAX) {
				const path = linux.escapePath(joinComponents(components));
				throw new LamellaError("EUNSAFE", `"${path}" goes through more than ${SYMLINKS_MAX} symbolic links`, {
					path,
				});
			}
			const target = linux.readlinkat(entry.directoryFd, entry.name);
			resolved.pop();
			if (target[0] === SLASH) resolved.length = 0;
			pending.push(...splitPath(target).reverse());
		}
		return resolved;
	}

	/** Drops the directories held open. Call it after directories in a lower were made, removed or replaced. */
	forget(): void {
		for (const { directory } of this.#stack.splice(0).reverse()) directory.close();
	}

	close(): void {
		this.forget();
	}

	[Symbol.dispose](): void {
		this.close();
	}

	/** The merged directory of the first `count` components, held in the stack; undefined where there is none. */
	#descend(components: readonly Buffer[], count: number): MergedDirectory | undefined {
		let depth = 1;
		while (depth <= count && depth < this.#stack.length) {
			const component = components[depth - 1];
			if (component === undefined || this.#stack[depth]?.name.equals(component) !== true) break;
			depth += 1;
		}
		for (const { directory } of this.#stack.splice(depth).reverse()) directory.close();
		let current = this.#stack.at(-1)?.directory;
		if (current === undefined) {
			current = MergedDirectory.openRoot(this.lowers, this.#options);
			this.#stack.push({ name: Buffer.alloc(0), directory: current });
		}
		for (let index = this.#stack.length - 1; index < count; index++) {
			const component = components[index];
			const entry = component === undefined ? undefined : current.lookup(component);
			if (component === undefined || entry === undefined || !linux.isDirectory(entry.stat)) return undefined;
			current = current.openChild(entry);
			// A copy: the caller's buffer may be a slice of one that is used again.
			this.#stack.push({ name: Buffer.from(component), directory: current });
		}
		return current;
	}
}

/** Splits a path at its slashes; empty components are left out, `.` and `..` are kept. */
export function splitPath(path: Buffer): Buffer[] {
	const components: Buffer[] = [];
	let start = 0;
	for (let index = 0; index <= path.length; index++) {
		if (index < path.length && path[index] !== SLASH) continue;
		if (index > start) components.push(path.subarray(start, index));
		start = index + 1;
	}
	return components;
}

/** `a/b/c`, without a slash at either end. */
export function joinComponents(components: readonly Buffer[]): Buffer {
	const pieces: Buffer[] = [];
	for (const component of components) {
		if (pieces.length > 0) pieces.push(Buffer.of(SLASH));
		pieces.push(component);
	}
	return Buffer.concat(pieces);
}

function isDot(name: Buffer): boolean {
	return name.length === 1 && name[0] === DOT;
}

function isDotDot(name: Buffer): boolean {
	return name.length === 2 && name[0] === DOT && name[1] === DOT;
}
