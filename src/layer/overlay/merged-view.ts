/**
 * A list of lowers as overlayfs would show them merged, without a mount.
 *
 * Two ways in. `MergedView` answers for whole paths and stays at the directory of the last one, so that paths asked for
 * in tree order cost one step each:
 *
 *     using view = new MergedView(["/layers/2/diff", "/layers/1/root"]);   // top first
 *     const found = view.lookup([Buffer.from("etc"), Buffer.from("passwd")]);
 *     if (found) linux.linkat(found.directoryFd, found.name, targetFd, found.name);
 *
 * `MergedWalk` is at one merged directory, for those who walk a tree themselves: `lookup(name)`, `entries()`,
 * `enter(entry)`, `leave()`.
 *
 * Everything is relative to directory descriptors and no symbolic link is ever followed below a lower's root. It only
 * reads, and holds no cache of file content or stats.
 */
import * as linux from "../../linux/index.ts";
import type { OverlayXattrPrefix } from "../contract.ts";
import { DirectoryStack } from "../tree/directory-stack.ts";
import { type DirectoryMarks, MarkReader, NO_MARKS } from "./overlay-marks.ts";

const DT_UNKNOWN = 0;
const DT_CHR = 2;
const DT_REG = 8;

export interface MergedViewOptions {
	/** Which overlay xattrs count; both where absent. */
	readonly xattrPrefix?: OverlayXattrPrefix | undefined;
	/** The lowers are plain trees: no whiteouts, no opaque directories. For the trees of vfs. */
	readonly plain?: boolean | undefined;
	/** There is more below the lowers: `entries` has their whiteouts, too. */
	readonly keepWhiteouts?: boolean | undefined;
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
	 * (directoryFd, name). Valid until the next call on the view, or until the walk enters or leaves a directory.
	 */
	readonly directoryFd: number;
}

/** A name as readdir gives it. `type` is a DT_* constant, DT_UNKNOWN where the filesystem does not tell. */
export interface MergedName {
	readonly name: Buffer;
	readonly type: number;
	readonly layerIndex: number;
	readonly isWhiteout: boolean;
}

/** One lower's part of a merged directory. */
interface Part {
	readonly layerIndex: number;
	readonly marks: DirectoryMarks;
}

/** The parts, top first, of a merged directory, and whether they hide what is below all lowers. */
interface Level {
	readonly parts: readonly Part[];
	readonly hides: boolean;
}

/** A walk through merged directories, at the root first. */
export class MergedWalk implements Disposable {
	readonly #marks: MarkReader;
	readonly #plain: boolean;
	readonly #keepWhiteouts: boolean;
	readonly #rootFds: number[] = [];
	/** Where each lower is: at the directory of the deepest level that it has a part in. */
	readonly #lowers: DirectoryStack[] = [];
	/** The merged root, and each directory entered since. */
	readonly #levels: Level[] = [];

	/** `lowers` top first; without lowers an empty directory. */
	constructor(lowers: readonly string[], options: MergedViewOptions = {}) {
		this.#marks = new MarkReader(options.xattrPrefix);
		this.#plain = options.plain === true;
		this.#keepWhiteouts = options.keepWhiteouts === true;
		const parts: Part[] = [];
		try {
			for (const [layerIndex, lower] of lowers.entries()) {
				// A lower's own path may go through symbolic links: it is the store's, not an image's.
				const fd = linux.openat(linux.AT_FDCWD, lower, linux.O_RDONLY | linux.O_DIRECTORY);
				this.#rootFds.push(fd);
				this.#lowers.push(new DirectoryStack(fd));
				if (this.#addPart(parts, layerIndex, () => lower)) break;
			}
		} catch (error) {
			this.close();
			throw error;
		}
		// Overlayfs takes no notice of an opaque root.
		this.#levels.push({ parts, hides: false });
	}

	/** Whether the merged directory shows nothing of what may be below all lowers. */
	get hidesWhatIsBelow(): boolean {
		return this.#levels.at(-1)?.hides === true;
	}

	/** The directory in the topmost lower that has it: its metadata is what the merged directory shows. */
	get top(): { readonly fd: number; readonly layerIndex: number } | undefined {
		const [part] = this.#parts;
		return part === undefined ? undefined : { fd: this.fdOf(part), layerIndex: part.layerIndex };
	}

	/** The open directory that holds a name found here; good until the walk enters or leaves one. */
	fdOf({ layerIndex }: { readonly layerIndex: number }): number {
		return (this.#lowers[layerIndex] as DirectoryStack).fd;
	}

	/** What `name` is in the merged directory; undefined where there is nothing or a whiteout. */
	lookup(name: Buffer): MergedEntry | undefined {
		for (const part of this.#parts) {
			const directoryFd = this.fdOf(part);
			const stat = linux.tryFstatat(directoryFd, name);
			if (stat === undefined) continue;
			if (this.#isWhiteout(part, name, stat)) return undefined;
			return { name, stat, layerIndex: part.layerIndex, directoryFd };
		}
		return undefined;
	}

	/** Goes into a directory that `lookup` found here (or a name of `entries` that is a directory). */
	enter(entry: { readonly name: Buffer; readonly layerIndex: number }): void {
		const parts: Part[] = [];
		let hides = this.hidesWhatIsBelow;
		for (const { layerIndex } of this.#parts) {
			if (layerIndex < entry.layerIndex) continue;
			const lower = this.#lowers[layerIndex] as DirectoryStack;
			if (parts.length > 0) {
				const stat = linux.tryFstatat(lower.fd, entry.name);
				if (stat === undefined) continue;
				// What is not a directory (a whiteout too) hides all that is below it.
				hides ||= !linux.isDirectory(stat);
				if (!linux.isDirectory(stat)) break;
			}
			lower.enter(entry.name);
			if (this.#addPart(parts, layerIndex, () => linux.escapePath(entry.name))) {
				hides = true;
				break;
			}
		}
		this.#levels.push({ parts, hides });
	}

	/** Goes back to the directory above. */
	leave(): void {
		for (const { layerIndex } of this.#levels.pop()?.parts ?? []) this.#lowers[layerIndex]?.leave();
	}

	/** Every name in the merged directory, whiteouts resolved unless they are kept, sorted bytewise. */
	entries(): MergedName[] {
		const parts = this.#parts;
		const seen = parts.length > 1 ? new Set<string>() : undefined;
		const names: MergedName[] = [];
		for (const part of parts) {
			for (const { name, type } of linux.readDirectory(this.fdOf(part))) {
				const key = seen === undefined ? "" : name.toString("latin1");
				if (seen?.has(key) === true) continue;
				seen?.add(key);
				const isWhiteout = !this.#isVisible(part, name, type);
				if (isWhiteout && !this.#keepWhiteouts) continue;
				names.push({ name, type, layerIndex: part.layerIndex, isWhiteout });
			}
		}
		return names.sort((a, b) => Buffer.compare(a.name, b.name));
	}

	close(): void {
		for (const lower of this.#lowers.splice(0)) lower[Symbol.dispose]();
		for (const fd of this.#rootFds.splice(0)) linux.close(fd);
	}

	[Symbol.dispose](): void {
		this.close();
	}

	get #parts(): readonly Part[] {
		return this.#levels.at(-1)?.parts ?? [];
	}

	/** Adds the directory that a lower is at; returns whether the merge ends with it. */
	#addPart(parts: Part[], layerIndex: number, where: () => string): boolean {
		const marks = this.#plain ? NO_MARKS : this.#marks.directory(this.fdOf({ layerIndex }), where);
		parts.push({ layerIndex, marks });
		return this.#plain || marks.opaque;
	}

	#isVisible(part: Part, name: Buffer, type: number): boolean {
		const mayBeWhiteout =
			!this.#plain &&
			(type === DT_CHR || type === DT_UNKNOWN || (part.marks.xattrWhiteouts && type === DT_REG));
		if (!mayBeWhiteout) return true;
		const stat = linux.tryFstatat(this.fdOf(part), name);
		return stat !== undefined && !this.#isWhiteout(part, name, stat);
	}

	#isWhiteout(part: Part, name: Buffer, stat: linux.Stat): boolean {
		return !this.#plain && this.#marks.isWhiteout(part.marks, this.fdOf(part), name, stat);
	}
}

/** See the head of the file. Paths are lists of names, none of them empty, `.` or `..`; the buffers are kept. */
export class MergedView implements Disposable {
	readonly lowers: readonly string[];
	readonly #options: MergedViewOptions;
	#walk: MergedWalk | undefined;
	/** The directory that the walk is at. */
	readonly #names: Buffer[] = [];

	constructor(lowers: readonly string[], options: MergedViewOptions = {}) {
		this.lowers = lowers;
		this.#options = options;
	}

	/** What the path is in the merged view; `[]` is the root. Undefined where there is nothing. */
	lookup(names: readonly Buffer[]): MergedEntry | undefined {
		const name = names.at(-1);
		if (name !== undefined) return this.#goTo(names, names.length - 1)?.lookup(name);
		const top = this.#goTo([], 0)?.top;
		if (top === undefined) return undefined;
		const { fd, layerIndex } = top;
		return { name: Buffer.alloc(0), stat: linux.fstat(fd), layerIndex, directoryFd: fd };
	}

	/** The names in a merged directory, sorted bytewise; undefined where the path is no directory. */
	readDirectory(names: readonly Buffer[]): MergedName[] | undefined {
		return this.#goTo(names, names.length)?.entries();
	}

	close(): void {
		this.#names.length = 0;
		this.#walk?.close();
		this.#walk = undefined;
	}

	[Symbol.dispose](): void {
		this.close();
	}

	/** The walk, at the directory of the first `count` names; undefined where there is none. */
	#goTo(names: readonly Buffer[], count: number): MergedWalk | undefined {
		this.#walk ??= new MergedWalk(this.lowers, this.#options);
		const walk = this.#walk;
		let same = 0;
		while (same < count && same < this.#names.length) {
			const [name, here] = [names[same] as Buffer, this.#names[same] as Buffer];
			if (name !== here && !name.equals(here)) break;
			same += 1;
		}
		for (; this.#names.length > same; this.#names.pop()) walk.leave();
		for (; same < count; same++) {
			const name = names[same] as Buffer;
			const entry = walk.lookup(name);
			if (entry === undefined || !linux.isDirectory(entry.stat)) return undefined;
			walk.enter(entry);
			this.#names.push(name);
		}
		return walk;
	}
}
