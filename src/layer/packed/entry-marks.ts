/** What one layer did to the entries of a tree, while it is merged: a few bits an entry. */
import type { FileTree } from "../../erofs/index.ts";

export const MARK = {
	/** An entry of this layer; of a directory: one for itself. */
	ours: 1,
	/** A directory with something of this layer in it, or of this layer itself. */
	present: 2,
	/** A directory that has nothing to do with what lower layers had at its path. */
	fresh: 4,
	/** A directory in which nothing of lower layers is left. */
	emptied: 8,
	/** A lower's file that the layer has a hard link to. */
	brought: 16,
	/** One that a whiteout takes away in the end. */
	hidden: 32,
	/** A directory that something was taken out of, or one above it. */
	edited: 64,
	/** A directory that this layer made: present, fresh, emptied. */
	made: 14,
} as const;

export class EntryMarks {
	readonly #tree: FileTree;
	#marks: Uint8Array;

	constructor(tree: FileTree) {
		this.#tree = tree;
		this.#marks = new Uint8Array(tree.entryLimit + 1024);
		this.#marks[tree.root] = MARK.present | MARK.edited;
	}

	/** Whether the entry has one of these. */
	has(entry: number, marks: number): boolean {
		return ((this.#marks[entry] ?? 0) & marks) !== 0;
	}

	add(entry: number, marks: number): void {
		this.set(entry, (this.#marks[entry] ?? 0) | marks);
	}

	/** It has these, and no others. */
	set(entry: number, marks: number): void {
		if (entry >= this.#marks.length) {
			const larger = new Uint8Array(2 * entry);
			larger.set(this.#marks);
			this.#marks = larger;
		}
		this.#marks[entry] = marks;
	}

	/** Marks a directory and all above it, as far as they are not yet: `present` and `edited` are always so. */
	addUpwards(directory: number, mark: number): void {
		for (let at = directory; !this.has(at, mark); at = this.#tree.parentOf(at)) this.add(at, mark);
	}
}
