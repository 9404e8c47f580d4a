/**
 * Owns the order in which an image has its directories and their entries: directories as a walk meets them (a
 * directory, then the first of those in it with all below that), entries sorted by the bytes of their names, as the
 * kernel's binary search wants them. It depends on nothing but names, so equal trees give equal images.
 */
import { LamellaError } from "../errors/index.ts";
import type { FileTree } from "./file-tree.ts";
import { BLOCK_BYTES, DIRENT } from "./format.ts";
import { NONE, S_IFDIR, S_IFMT } from "./inode-table.ts";

/** Stand among the entries for `.` and `..`, which every directory has. */
export const DOT = 0xffffffff;
export const DOT_DOT = 0xfffffffe;

const DOT_BYTE = 0x2e;
/** Below this many, comparing each with its neighbours is faster than making keys. */
const SHORT = 12;

export interface DirectoryOrder {
	readonly count: number;
	/** By number of the directory: its entry, and its part of `entries`. */
	readonly entry: Uint32Array;
	readonly start: Uint32Array;
	readonly end: Uint32Array;
	/** The bytes of its dirents and names, as a directory's size states them. */
	readonly sizeBytes: Float64Array;
	readonly subdirectories: Uint32Array;
	/** Entries of all directories, DOT and DOT_DOT among them. */
	readonly entries: Uint32Array;
	/** By entry: the number of the directory that it is. */
	readonly numberOf: Uint32Array;
}

/** @throws {LamellaError} `EINVALID` where it is not a tree: a directory with two names, or entries below a file */
export function orderDirectories(tree: FileTree): DirectoryOrder {
	const count = countDirectories(tree);
	const order = {
		count,
		entry: new Uint32Array(count),
		start: new Uint32Array(count),
		end: new Uint32Array(count),
		sizeBytes: new Float64Array(count),
		subdirectories: new Uint32Array(count),
		entries: new Uint32Array(tree.entryCount - 1 + 2 * count),
		numberOf: new Uint32Array(tree.entryLimit),
	};
	const sorter = new NameSorter(tree, order.entries);
	const waiting = [tree.root];
	let filled = 0;
	for (let number = 0; ; number++) {
		const directory = waiting.pop();
		if (directory === undefined) return order;
		const start = filled;
		filled = collectChildren(tree, order.entries, directory, start);
		sorter.sort(start, filled);
		order.entry[number] = directory;
		order.numberOf[directory] = number;
		order.subdirectories[number] = pushSubdirectories(tree, order.entries, start, filled, waiting);
		filled = insertDots(tree, order.entries, start, filled);
		order.start[number] = start;
		order.end[number] = filled;
		order.sizeBytes[number] = directorySize(tree, order.entries, start, filled);
	}
}

// Loops are functions of their own in this room: the compiler is slow to optimize one loop within another.

/** Oldest first, which is often sorted already: archives mostly are. Gives the end. */
function collectChildren(tree: FileTree, entries: Uint32Array, directory: number, start: number): number {
	let end = start;
	for (let at = tree.firstChild(directory); at !== NONE; at = tree.nextSibling(at)) entries[end++] = at;
	for (let low = start, high = end - 1; low < high; low++, high--) {
		const entry = entries[low] ?? 0;
		entries[low] = entries[high] ?? 0;
		entries[high] = entry;
	}
	return end;
}

/** The last one first, so that the first one is walked first. Gives their number. */
function pushSubdirectories(
	tree: FileTree,
	entries: Uint32Array,
	start: number,
	end: number,
	waiting: number[],
): number {
	let count = 0;
	for (let at = end - 1; at >= start; at--) {
		const child = entries[at] ?? 0;
		if (tree.isDirectory(child)) {
			waiting.push(child);
			count++;
		} else if (tree.firstChild(child) !== NONE) {
			const path = tree.pathOf(child);
			throw new LamellaError("EINVALID", `"${path}" is no directory, but entries are below it`, { path });
		}
	}
	return count;
}

/** Bytes that an entry's name takes. */
export function nameLength(tree: FileTree, entry: number): number {
	return entry === DOT ? 1 : entry === DOT_DOT ? 2 : tree.nameLength(entry);
}

/** Where the directory block that begins with `entries[start]` ends: as many as it has room for. */
export function blockEnd(tree: FileTree, entries: Uint32Array, start: number, end: number): number {
	let used = 0;
	for (let at = start; at < end; at++) {
		used += DIRENT.bytes + nameLength(tree, entries[at] ?? 0);
		if (used > BLOCK_BYTES) return at;
	}
	return end;
}

function directorySize(tree: FileTree, entries: Uint32Array, start: number, end: number): number {
	let blocks = 0;
	let used = 0;
	for (let at = start; at < end; at++) {
		const bytes = DIRENT.bytes + nameLength(tree, entries[at] ?? 0);
		if (used + bytes > BLOCK_BYTES) {
			blocks++;
			used = 0;
		}
		used += bytes;
	}
	return blocks * BLOCK_BYTES + used;
}

function countDirectories(tree: FileTree): number {
	let count = 0;
	for (let inode = 0; inode < tree.inodeCount; inode++) {
		if ((tree.inodes.modeOf(inode) & S_IFMT) !== S_IFDIR) continue;
		const links = tree.linksOf(inode);
		if (links > 1)
			throw new LamellaError("EINVALID", `directory (inode ${inode} of the tree) has ${links} names`);
		count += links;
	}
	return count;
}

/** Puts `.` and `..` where they belong among the sorted entries; gives the new end. */
function insertDots(tree: FileTree, entries: Uint32Array, start: number, end: number): number {
	const dot = endOfNamesBelow(tree, entries, start, end, false);
	const dotDot = endOfNamesBelow(tree, entries, dot, end, true);
	entries.copyWithin(dotDot + 2, dotDot, end);
	entries[dotDot + 1] = DOT_DOT;
	entries.copyWithin(dot + 1, dot, dotDot);
	entries[dot] = DOT;
	return end + 2;
}

/** Where the sorted names that are below "." (or, `withSecond`, "..") end. No name is one of the two. */
function endOfNamesBelow(
	tree: FileTree,
	entries: Uint32Array,
	start: number,
	end: number,
	withSecond: boolean,
): number {
	const names = tree.nameBytes;
	let at = start;
	for (; at < end; at++) {
		const name = tree.nameStart(entries[at] ?? 0);
		const first = names[name] ?? 0;
		// What begins with a dot is above "."; it is below ".." if its second byte is below a dot.
		const isBelow =
			first < DOT_BYTE || (withSecond && first === DOT_BYTE && (names[name + 1] ?? 0) < DOT_BYTE);
		if (!isBelow) break;
	}
	return at;
}

/** Sorts ranges of entries by name: by numbers made of four bytes of each, then those that are alike by the next four. */
class NameSorter {
	readonly #tree: FileTree;
	readonly #entries: Uint32Array;
	readonly #names: Uint8Array;
	#keys = new Float64Array(256);
	#copy = new Uint32Array(256);

	constructor(tree: FileTree, entries: Uint32Array) {
		this.#tree = tree;
		this.#entries = entries;
		this.#names = tree.nameBytes;
	}

	sort(start: number, end: number): void {
		if (this.#isSorted(start, end)) return;
		const length = end - start;
		if (length > this.#keys.length) {
			this.#keys = new Float64Array(2 * length);
			this.#copy = new Uint32Array(2 * length);
		}
		this.#sortFrom(start, end, 0);
	}

	#isSorted(start: number, end: number): boolean {
		for (let at = start + 1; at < end; at++) {
			if (this.#isBelow(this.#entries[at] ?? 0, this.#entries[at - 1] ?? 0, 0)) return false;
		}
		return true;
	}

	/** All in the range have the same first `depth` bytes. A name has 255, so this nests 85 deep at most. */
	#sortFrom(start: number, end: number, depth: number): void {
		if (end - start < SHORT) {
			this.#sortShort(start, end, depth);
			return;
		}
		// A key is bytes of the name and the position, together in the 53 bits that a number holds exactly.
		const bytes = end - start <= 2 ** 21 ? 4 : 3;
		const positions = 2 ** (53 - 8 * bytes);
		this.#makeKeys(start, end, depth, bytes, positions);
		this.#keys.subarray(0, end - start).sort();
		const runs = this.#takeOrder(start, end, positions);
		if (runs.length === end - start) return;
		runs.push(end);
		this.#sortRuns(runs, depth + bytes);
	}

	#makeKeys(start: number, end: number, depth: number, bytes: number, positions: number): void {
		for (let at = start, n = 0; at < end; at++, n++) {
			const entry = this.#entries[at] ?? 0;
			this.#copy[n] = entry;
			this.#keys[n] = this.#digit(entry, depth, bytes) * positions + n;
		}
	}

	/** Puts the entries as the keys are; gives where each run of alike ones begins. */
	#takeOrder(start: number, end: number, positions: number): number[] {
		const runs: number[] = [];
		let last = -1;
		for (let at = start, n = 0; at < end; at++, n++) {
			const key = this.#keys[n] ?? 0;
			const digit = Math.floor(key / positions);
			this.#entries[at] = this.#copy[key - digit * positions] ?? 0;
			if (digit !== last) runs.push(at);
			last = digit;
		}
		return runs;
	}

	#sortRuns(runs: readonly number[], depth: number): void {
		for (let n = 0; n + 1 < runs.length; n++) {
			const from = runs[n] ?? 0;
			const to = runs[n + 1] ?? 0;
			if (to - from > 1) this.#sortFrom(from, to, depth);
		}
	}

	/** That many bytes of the name as a number; what is behind its end counts as 0, which no name holds. */
	#digit(entry: number, depth: number, bytes: number): number {
		const start = this.#tree.nameStart(entry);
		const length = this.#tree.nameLength(entry);
		let digit = 0;
		for (let at = depth; at < depth + bytes; at++) {
			digit = digit * 256 + (at < length ? (this.#names[start + at] ?? 0) : 0);
		}
		return digit;
	}

	#sortShort(start: number, end: number, depth: number): void {
		const entries = this.#entries;
		for (let at = start + 1; at < end; at++) {
			const entry = entries[at] ?? 0;
			let to = at;
			for (; to > start && this.#isBelow(entry, entries[to - 1] ?? 0, depth); to--) {
				entries[to] = entries[to - 1] ?? 0;
			}
			entries[to] = entry;
		}
	}

	#isBelow(a: number, b: number, depth: number): boolean {
		const names = this.#names;
		const aStart = this.#tree.nameStart(a);
		const bStart = this.#tree.nameStart(b);
		const aLength = this.#tree.nameLength(a);
		const bLength = this.#tree.nameLength(b);
		for (let at = depth; at < aLength && at < bLength; at++) {
			const difference = (names[aStart + at] ?? 0) - (names[bStart + at] ?? 0);
			if (difference !== 0) return difference < 0;
		}
		return aLength < bLength;
	}
}
