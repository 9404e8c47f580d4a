/**
 * Applies one layer's entries to a tree in memory (FileTree), with the meaning that applying them to a directory has
 * (src/layer/apply): the tree holds what the layers below show, and afterwards what this one shows over them.
 *
 * Whiteouts and opaque marks act on what was there before the layer, wherever they stand among its entries: so an entry
 * of the tree has marks for what this layer did there. Where a rule seems odd, the reference is TargetTree over
 * overlayfs: `present` are the directories that the layer's upper directory would have.
 */
import { type FileTree, NONE } from "../../erofs/index.ts";
import * as linux from "../../linux/index.ts";
import type { Xattr } from "../../tar/index.ts";
import { belowFile, DanglingLink, linksBelowItself, linksToDirectory } from "../apply/refusals.ts";
import { DirectoryFinder, type FoundDirectory } from "./directory-finder.ts";
import { EntryMarks, MARK } from "./entry-marks.ts";
import { ENTRY, type IndexEntries } from "./index-entries.ts";
import { InodeWriter } from "./inode-writer.ts";
import { pathOf } from "./path-walk.ts";

const SLASH = 0x2f;

export interface MergerOptions {
	/** Number of layer.tar in the image's device table; layer.data, if any, is the next. */
	readonly firstDevice: number;
	/** The layer's sets, which entries name by number. More may be added as entries come. */
	readonly xattrSets: readonly (readonly Xattr[])[];
	/** The tree is empty because nobody knows yet what is below. */
	readonly hasUnknownLowers?: boolean | undefined;
}

export class LayerMerger {
	/**
	 * With unknown lowers: an entry needs something of them. Nothing is merged from there on, and what comes out says
	 * nothing.
	 */
	needsLowers = false;

	readonly #tree: FileTree;
	readonly #hasUnknownLowers: boolean;
	readonly #finder: DirectoryFinder;
	readonly #inodes: InodeWriter;
	readonly #marks: EntryMarks;
	#dangling: DanglingLink | undefined;
	#hasHidden = false;

	constructor(tree: FileTree, { firstDevice, xattrSets, hasUnknownLowers = false }: MergerOptions) {
		this.#tree = tree;
		this.#hasUnknownLowers = hasUnknownLowers;
		this.#finder = new DirectoryFinder(tree, hasUnknownLowers);
		this.#inodes = new InodeWriter(tree, firstDevice, xattrSets);
		this.#marks = new EntryMarks(tree);
	}

	/**
	 * Merges entry number `entry`, whose path begins at `start` of the text; in the tar's order.
	 * @throws {LamellaError} `ETAR`, `EUNSAFE` as LayerApplier
	 */
	add(entries: IndexEntries, entry: number, start: number): void {
		if (this.needsLowers) return;
		const { text } = entries;
		const end = start + entries.pathLength(entry);
		if (this.#dangling !== undefined) {
			if (this.#dangling.target === text.toString("latin1", start, end)) throw this.#dangling.comesLater();
			return;
		}
		const kind = entries.kind(entry);
		if (kind === ENTRY.opaque) {
			const found = this.#find(text, start, end);
			// Where there is no such directory, there is nothing to hide.
			if (found?.missing.length === 0) this.#makeOpaque(found.directory);
			return;
		}
		if (start === end) {
			this.#inodes.write(this.#tree.inodeOf(this.#tree.root), entries, entry, start);
			this.#marks.add(this.#tree.root, MARK.ours);
			return;
		}
		const nameStart = nameStartIn(text, start, end);
		const found = this.#find(text, start, Math.max(start, nameStart - 1));
		if (found === undefined) return;
		switch (kind) {
			case ENTRY.whiteout:
				if (found.missing.length === 0) this.#whiteOut(found.directory, text, nameStart, end);
				return;
			case ENTRY.hardlink:
				this.#link(found, entries, entry, start, nameStart);
				return;
			case ENTRY.directory: {
				const parent = this.#makePresent(found, text, start, nameStart);
				const directory = this.#makeDirectory(parent, text, nameStart, end);
				this.#inodes.write(this.#tree.inodeOf(directory), entries, entry, start);
				return;
			}
			default: {
				const inode = this.#tree.newInode();
				this.#inodes.write(inode, entries, entry, start);
				this.#place(this.#makePresent(found, text, start, nameStart), text, nameStart, end, inode);
			}
		}
	}

	/** To be called after the last entry. @throws {LamellaError} `ETAR` for a hard link to nothing */
	finish(): void {
		if (this.needsLowers) return;
		if (this.#dangling !== undefined) throw this.#dangling.isNowhere();
		if (!this.#hasHidden) return;
		for (const entry of this.#ownEntries()) if (this.#marks.has(entry, MARK.hidden)) this.#remove(entry);
	}

	/** Lengths of files and of symbolic links' targets, each inode once, of what the layer holds: see ApplyResult. */
	contentSizeBytes(): number {
		const { inodes } = this.#tree;
		const seen = new Uint8Array(inodes.count);
		let sizeBytes = 0;
		for (const entry of this.#ownEntries()) {
			const inode = this.#tree.inodeOf(entry);
			if (seen[inode] === 1) continue;
			seen[inode] = 1;
			const target = inodes.targetOf(inode);
			sizeBytes += target === NONE ? inodes.sizeBytesOf(inode) : inodes.targetLength(target);
		}
		return sizeBytes;
	}

	/** Whether the layer changed anything in a directory of the tree, or below it. */
	isChanged(directory: number): boolean {
		return this.#marks.has(directory, MARK.present | MARK.edited);
	}

	/** The files of this layer, and those that it brought. The one given last may be removed meanwhile. */
	*#ownEntries(): Generator<number> {
		const tree = this.#tree;
		const pending = [tree.root];
		for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
			for (let entry = tree.firstChild(directory), next = NONE; entry !== NONE; entry = next) {
				next = tree.nextSibling(entry);
				if (this.#marks.has(entry, MARK.present)) pending.push(entry);
				else if (this.#marks.has(entry, MARK.ours | MARK.brought)) yield entry;
			}
		}
	}

	#find(text: Uint8Array, start: number, end: number): FoundDirectory | undefined {
		const found = this.#finder.find(text, start, end);
		if (found === undefined) this.needsLowers = true;
		return found;
	}

	/** Makes the entry, whose directory is `at`, one more name of the file at its target. */
	#link(at: FoundDirectory, entries: IndexEntries, entry: number, start: number, nameStart: number): void {
		const tree = this.#tree;
		const { text } = entries;
		const end = start + entries.pathLength(entry);
		const targetEnd = end + entries.targetLength(entry);
		const link = (): string => text.toString("latin1", start, end);
		const target = (): string => text.toString("latin1", end, targetEnd);
		const targetName = nameStartIn(text, end, targetEnd);
		const from = this.#find(text, end, Math.max(end, targetName - 1));
		if (from === undefined) return;
		// An empty target is the root, to which there is no link.
		const isNamed = targetEnd > end;
		const found =
			isNamed && from.missing.length === 0 ? tree.lookup(from.directory, text, targetName, targetEnd) : NONE;
		if (found === NONE) {
			if (isNamed && this.#hasUnknownLowers) this.needsLowers = true;
			else this.#dangling = new DanglingLink(link(), target());
			return;
		}
		if (tree.isDirectory(found)) throw linksToDirectory(link(), target());
		if (!this.#marks.has(found, MARK.ours | MARK.brought)) {
			this.#marks.add(found, MARK.brought);
			this.#marks.addUpwards(from.directory, MARK.present);
		}
		const existing = at.missing.length > 0 ? NONE : tree.lookup(at.directory, text, nameStart, end);
		if (existing === found) {
			this.#marks.set(found, MARK.ours);
			return;
		}
		for (let above = from.directory; above !== tree.root; above = tree.parentOf(above)) {
			if (above === existing) throw linksBelowItself(link(), target());
		}
		const inode = tree.inodeOf(found);
		this.#place(this.#makePresent(at, text, start, nameStart), text, nameStart, end, inode);
	}

	/** Puts a non-directory at a name, in the place of whatever is there. */
	#place(directory: number, text: Uint8Array, start: number, end: number, inode: number): void {
		this.#put(directory, this.#tree.lookup(directory, text, start, end), text, start, end, inode, MARK.ours);
	}

	/** Makes or finds the directory of an entry of its own. */
	#makeDirectory(parent: number, text: Uint8Array, start: number, end: number): number {
		const existing = this.#tree.lookup(parent, text, start, end);
		if (existing === NONE || !this.#tree.isDirectory(existing)) {
			return this.#putDirectory(parent, existing, text, start, end, MARK.ours | MARK.made);
		}
		this.#marks.add(existing, MARK.ours | MARK.present);
		this.#marks.addUpwards(parent, MARK.present);
		return existing;
	}

	#putDirectory(
		parent: number,
		existing: number,
		text: Uint8Array,
		start: number,
		end: number,
		marks: number,
	): number {
		const inode = this.#tree.newInode();
		this.#inodes.writeBare(inode);
		return this.#put(parent, existing, text, start, end, inode, marks);
	}

	/** Gives the name to an inode; `existing` is the entry that has it, or NONE. Returns the name's entry. */
	#put(
		directory: number,
		existing: number,
		text: Uint8Array,
		start: number,
		end: number,
		inode: number,
		marks: number,
	): number {
		const tree = this.#tree;
		let entry = existing;
		if (existing === NONE) entry = tree.insert(directory, text, start, end, inode);
		else {
			const format = tree.inodes.modeOf(tree.inodeOf(existing)) & linux.S_IFMT;
			if (format === linux.S_IFDIR || format === linux.S_IFLNK) this.#finder.forget();
			tree.replaceInode(existing, inode);
		}
		this.#marks.set(entry, marks);
		this.#marks.addUpwards(directory, MARK.present);
		return entry;
	}

	/**
	 * The directory of an entry, with what is missing of it made. The entry's path is from `start`, its name from
	 * `nameStart`.
	 * @throws {LamellaError} `ETAR` where another entry of the layer is in the way
	 */
	#makePresent(found: FoundDirectory, text: Uint8Array, start: number, nameStart: number): number {
		let { directory } = found;
		if (found.missing.length === 0) return directory;
		for (const { bytes, start: from, end: to } of found.missing) {
			const existing = this.#tree.lookup(directory, bytes, from, to);
			if (existing !== NONE && this.#marks.has(existing, MARK.ours | MARK.brought))
				throw belowFile(pathOf(this.#tree, existing));
			directory = this.#putDirectory(directory, existing, bytes, from, to, MARK.made);
		}
		this.#finder.remember(text, start, nameStart - 1, directory);
		return directory;
	}

	#whiteOut(directory: number, text: Uint8Array, start: number, end: number): void {
		const entry = this.#tree.lookup(directory, text, start, end);
		if (entry === NONE) return;
		if (this.#tree.isDirectory(entry)) {
			if (this.#clearOlder(entry)) this.#clearBelow(entry);
		} else if (this.#marks.has(entry, MARK.brought)) this.#hideInTheEnd(entry);
		else if (!this.#marks.has(entry, MARK.ours)) this.#remove(entry);
	}

	#makeOpaque(directory: number): void {
		this.#clearBelow(directory);
		if (directory !== this.#tree.root) return;
		// Overlayfs has no opaque root: its names are whited out one by one.
		for (
			let entry = this.#tree.firstChild(directory);
			entry !== NONE;
			entry = this.#tree.nextSibling(entry)
		) {
			if (this.#marks.has(entry, MARK.brought)) this.#hideInTheEnd(entry);
		}
	}

	/** Takes a lower's directory away; one that this layer has something in stays, as a new one. Whether it does. */
	#clearOlder(directory: number): boolean {
		if (this.#marks.has(directory, MARK.fresh)) return false;
		if (!this.#marks.has(directory, MARK.present)) {
			this.#remove(directory);
			return false;
		}
		if (!this.#marks.has(directory, MARK.ours)) this.#inodes.writeBare(this.#tree.inodeOf(directory));
		this.#marks.add(directory, MARK.fresh);
		return true;
	}

	/** Takes away what lower layers have in a directory, and leaves what this layer has. */
	#clearBelow(top: number): void {
		const tree = this.#tree;
		const pending = [top];
		for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
			if (this.#marks.has(directory, MARK.emptied)) continue;
			this.#marks.add(directory, MARK.emptied);
			for (let entry = tree.firstChild(directory), next = NONE; entry !== NONE; entry = next) {
				next = tree.nextSibling(entry);
				if (!tree.isDirectory(entry)) {
					if (!this.#marks.has(entry, MARK.ours | MARK.brought)) this.#remove(entry);
				} else if (this.#clearOlder(entry)) pending.push(entry);
			}
		}
	}

	#hideInTheEnd(entry: number): void {
		this.#marks.add(entry, MARK.hidden);
		this.#hasHidden = true;
	}

	#remove(entry: number): void {
		this.#finder.forget();
		this.#marks.addUpwards(this.#tree.parentOf(entry), MARK.edited);
		this.#tree.remove(entry);
	}
}

/** Where the last name of the path from `start` to `end` begins. */
function nameStartIn(text: Uint8Array, start: number, end: number): number {
	let at = end;
	while (at > start && text[at - 1] !== SLASH) at--;
	return at;
}
