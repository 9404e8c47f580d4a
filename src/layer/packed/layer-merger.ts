/**
 * Applies one layer's entries to a tree in memory (FileTree), with the meaning that applying them to a directory has
 * (src/layer/apply): the tree holds what the layers below show, and afterwards what this one shows over them.
 *
 * Whiteouts and opaque marks act on what was there before the layer, wherever they stand among its entries: so an entry
 * of the tree has marks for what this layer did there. Where a rule seems odd, the reference is TargetTree over
 * overlayfs: PRESENT are the directories that the layer's upper directory would have.
 */
import { type FileTree, NONE } from "../../erofs/index.ts";
import * as linux from "../../linux/index.ts";
import type { Xattr } from "../../tar/index.ts";
import { belowFile, DanglingLink, linksBelowItself, linksToDirectory } from "../apply/refusals.ts";
import { ENTRY, type IndexEntries } from "./index-entries.ts";
import { type Name, PathWalk, pathOf } from "./path-walk.ts";

const SLASH = 0x2f;

/** An entry of this layer; of a directory: one for itself. */
const OURS = 1;
/** A directory with something of this layer in it, or of this layer itself. */
const PRESENT = 2;
/** A directory that has nothing to do with what lower layers had at its path. */
const FRESH = 4;
/** A directory in which nothing of lower layers is left. */
const EMPTIED = 8;
/** A lower's file that the layer has a hard link to. */
const BROUGHT = 16;
/** One that a whiteout takes away in the end. */
const HIDDEN = 32;
/** A directory that something was taken out of, or one above it. */
const EDITED = 64;
const MADE = PRESENT | FRESH | EMPTIED;

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
	readonly #options: MergerOptions;
	/** By entry of the tree. */
	#marks: Uint8Array;
	/** By set of the layer: the tree's id plus 1. */
	#sets: number[] = [];
	#dangling: DanglingLink | undefined;
	#hasHidden = false;

	/** What `#resolve` found: the deepest directory that is there, and names below it that are none (yet). */
	#directory: number;
	#missing: readonly Name[] = [];
	/** The path of the directory resolved last, where all of it is there; -1 bytes where that is not known any more. */
	#lastPath = new Uint8Array(4096);
	#lastLength = -1;
	#lastDirectory: number;

	constructor(tree: FileTree, options: MergerOptions) {
		this.#tree = tree;
		this.#options = options;
		this.#marks = new Uint8Array(tree.entryLimit + 1024);
		this.#marks[tree.root] = PRESENT;
		this.#directory = tree.root;
		this.#lastDirectory = tree.root;
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
			if (this.#resolve(text, start, end)) this.#makeOpaque();
			return;
		}
		if (start === end) {
			this.#setAttributes(this.#tree.inodeOf(this.#tree.root), entries, entry, start);
			this.#mark(this.#tree.root, OURS);
			return;
		}
		let nameStart = end;
		while (nameStart > start && text[nameStart - 1] !== SLASH) nameStart--;
		const directoryEnd = nameStart === start ? start : nameStart - 1;
		if (!this.#resolve(text, start, directoryEnd)) return;
		switch (kind) {
			case ENTRY.whiteout:
				if (this.#missing.length === 0) this.#whiteOut(text, nameStart, end);
				return;
			case ENTRY.hardlink:
				this.#link(entries, entry, start, nameStart, end);
				return;
			case ENTRY.directory: {
				const directory = this.#makeDirectory(
					this.#makePresent(text, start, directoryEnd),
					text,
					nameStart,
					end,
				);
				this.#setAttributes(this.#tree.inodeOf(directory), entries, entry, start);
				return;
			}
			default: {
				const inode = this.#tree.newInode();
				this.#setAttributes(inode, entries, entry, start);
				this.#place(this.#makePresent(text, start, directoryEnd), text, nameStart, end, inode);
			}
		}
	}

	/** To be called after the last entry. @throws {LamellaError} `ETAR` for a hard link to nothing */
	finish(): void {
		if (this.needsLowers) return;
		if (this.#dangling !== undefined) throw this.#dangling.isNowhere();
		if (!this.#hasHidden) return;
		for (const entry of this.#ownEntries()) {
			if ((this.#marksOf(entry) & HIDDEN) !== 0) this.#remove(entry);
		}
	}

	/** Lengths of files and of symbolic links' targets, each inode once, of what the layer holds: see ApplyResult. */
	contentSizeBytes(): number {
		const { inodes } = this.#tree;
		const seen = new Uint8Array(inodes.count);
		let sizeBytes = 0;
		for (const entry of this.#ownEntries()) {
			const inode = this.#tree.inodeOf(entry);
			if (this.#tree.linksOf(inode) > 1) {
				if (seen[inode] === 1) continue;
				seen[inode] = 1;
			}
			const target = inodes.targetOf(inode);
			sizeBytes += target === NONE ? inodes.sizeBytesOf(inode) : inodes.targetLength(target);
		}
		return sizeBytes;
	}

	/** Whether the layer changed anything in a directory of the tree, or below it. */
	isChanged(directory: number): boolean {
		return (this.#marksOf(directory) & (PRESENT | EDITED)) !== 0;
	}

	/** The files of this layer, and those that it brought. The one given last may be removed meanwhile. */
	*#ownEntries(): Generator<number> {
		const tree = this.#tree;
		const pending = [tree.root];
		for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
			for (let entry = tree.firstChild(directory), next = NONE; entry !== NONE; entry = next) {
				next = tree.nextSibling(entry);
				const marks = this.#marksOf(entry);
				if ((marks & PRESENT) !== 0) pending.push(entry);
				else if ((marks & (OURS | BROUGHT)) !== 0) yield entry;
			}
		}
	}

	#link(entries: IndexEntries, entry: number, start: number, nameStart: number, end: number): void {
		const tree = this.#tree;
		const { text } = entries;
		const [directory, missing] = [this.#directory, this.#missing];
		const targetEnd = end + entries.targetLength(entry);
		let targetName = targetEnd;
		while (targetName > end && text[targetName - 1] !== SLASH) targetName--;
		if (!this.#resolve(text, end, targetName === end ? end : targetName - 1)) return;
		const found =
			targetEnd === end || this.#missing.length > 0
				? NONE
				: tree.lookup(this.#directory, text, targetName, targetEnd);
		if (found === NONE) {
			if (targetEnd > end && this.#options.hasUnknownLowers === true) this.needsLowers = true;
			else {
				this.#dangling = new DanglingLink(
					text.toString("latin1", start, end),
					text.toString("latin1", end, targetEnd),
				);
			}
			return;
		}
		if (tree.isDirectory(found)) {
			throw linksToDirectory(text.toString("latin1", start, end), text.toString("latin1", end, targetEnd));
		}
		if ((this.#marksOf(found) & (OURS | BROUGHT)) === 0) {
			this.#mark(found, BROUGHT);
			this.#markPresent(tree.parentOf(found));
		}
		const existing = missing.length > 0 ? NONE : tree.lookup(directory, text, nameStart, end);
		if (existing === found) {
			this.#marks[found] = OURS;
			return;
		}
		if (existing !== NONE && tree.isDirectory(existing)) {
			for (let at = found; at !== tree.root; at = tree.parentOf(at)) {
				if (at === existing) {
					throw linksBelowItself(
						text.toString("latin1", start, end),
						text.toString("latin1", end, targetEnd),
					);
				}
			}
		}
		const inode = tree.inodeOf(found);
		this.#directory = directory;
		this.#missing = missing;
		this.#place(this.#makePresent(text, start, nameStart - 1), text, nameStart, end, inode);
	}

	/** Puts a non-directory at a name, in the place of whatever is there. */
	#place(directory: number, text: Uint8Array, start: number, end: number, inode: number): void {
		const tree = this.#tree;
		const existing = tree.lookup(directory, text, start, end);
		if (existing === NONE) {
			this.#setMarks(tree.insert(directory, text, start, end, inode), OURS);
		} else {
			this.#forgetPathsThrough(existing);
			tree.replaceInode(existing, inode);
			this.#setMarks(existing, OURS);
		}
		this.#markPresent(directory);
	}

	/** Makes or finds the directory of an entry of its own. */
	#makeDirectory(parent: number, text: Uint8Array, start: number, end: number): number {
		const existing = this.#tree.lookup(parent, text, start, end);
		if (existing === NONE || !this.#tree.isDirectory(existing)) {
			const made = this.#newDirectory(parent, existing, text, start, end);
			this.#mark(made, OURS);
			return made;
		}
		this.#mark(existing, OURS | PRESENT);
		this.#markPresent(parent);
		return existing;
	}

	#newDirectory(parent: number, existing: number, text: Uint8Array, start: number, end: number): number {
		const tree = this.#tree;
		const inode = tree.newInode();
		this.#makeBare(inode);
		let made = existing;
		if (existing === NONE) made = tree.insert(parent, text, start, end, inode);
		else {
			this.#forgetPathsThrough(existing);
			tree.replaceInode(existing, inode);
		}
		this.#setMarks(made, MADE);
		this.#markPresent(parent);
		return made;
	}

	/**
	 * The directory resolved last, with what is missing of it made. `start` and `end` are its path as the layer spells it.
	 * @throws {LamellaError} `ETAR` where an entry of the layer is in the way
	 */
	#makePresent(text: Uint8Array, start: number, end: number): number {
		let directory = this.#directory;
		if (this.#missing.length === 0) return directory;
		for (const name of this.#missing) {
			const existing = this.#tree.lookup(directory, name.bytes, name.start, name.end);
			if (existing !== NONE && this.#marksOf(existing) !== 0) {
				throw belowFile(pathOf(this.#tree, existing));
			}
			directory = this.#newDirectory(directory, existing, name.bytes, name.start, name.end);
		}
		this.#missing = [];
		this.#directory = directory;
		this.#remember(text, start, end, directory);
		return directory;
	}

	#whiteOut(text: Uint8Array, start: number, end: number): void {
		const entry = this.#tree.lookup(this.#directory, text, start, end);
		if (entry === NONE) return;
		const marks = this.#marksOf(entry);
		if (this.#tree.isDirectory(entry)) {
			if (this.#clearOlder(entry)) this.#clearBelow(entry);
		} else if ((marks & BROUGHT) !== 0) this.#hideInTheEnd(entry);
		else if ((marks & OURS) === 0) this.#remove(entry);
	}

	#makeOpaque(): void {
		// Where there is no such directory, there is nothing to hide.
		if (this.#missing.length > 0) return;
		const directory = this.#directory;
		this.#clearBelow(directory);
		if (directory !== this.#tree.root) return;
		// Overlayfs has no opaque root: its names are whited out one by one.
		for (
			let entry = this.#tree.firstChild(directory);
			entry !== NONE;
			entry = this.#tree.nextSibling(entry)
		) {
			if ((this.#marksOf(entry) & BROUGHT) !== 0) this.#hideInTheEnd(entry);
		}
	}

	/** Takes a lower's directory away; one that this layer has something in stays, as a new one. Whether it does. */
	#clearOlder(directory: number): boolean {
		const marks = this.#marksOf(directory);
		if ((marks & FRESH) !== 0) return false;
		if ((marks & PRESENT) === 0) {
			this.#remove(directory);
			return false;
		}
		if ((marks & OURS) === 0) this.#makeBare(this.#tree.inodeOf(directory));
		this.#mark(directory, FRESH);
		return true;
	}

	/** Takes away what lower layers have in a directory, and leaves what this layer has. */
	#clearBelow(top: number): void {
		const tree = this.#tree;
		const pending = [top];
		for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
			if ((this.#marksOf(directory) & EMPTIED) !== 0) continue;
			this.#mark(directory, EMPTIED);
			for (let entry = tree.firstChild(directory), next = NONE; entry !== NONE; entry = next) {
				next = tree.nextSibling(entry);
				if (!tree.isDirectory(entry)) {
					if (this.#marksOf(entry) === 0) this.#remove(entry);
				} else if (this.#clearOlder(entry)) pending.push(entry);
			}
		}
	}

	#hideInTheEnd(entry: number): void {
		this.#mark(entry, HIDDEN);
		this.#hasHidden = true;
	}

	#remove(entry: number): void {
		this.#lastLength = -1;
		for (
			let at = this.#tree.parentOf(entry);
			(this.#marksOf(at) & EDITED) === 0;
			at = this.#tree.parentOf(at)
		) {
			this.#mark(at, EDITED);
		}
		this.#tree.remove(entry);
	}

	/** What a directory is like of which neither an entry nor a lower layer says anything. */
	#makeBare(inode: number): void {
		const { inodes } = this.#tree;
		inodes.setMode(inode, linux.S_IFDIR | 0o755);
		inodes.setOwner(inode, 0, 0);
		inodes.setMtime(inode, 0, 0);
		inodes.setXattrs(inode, NONE);
	}

	#setAttributes(inode: number, entries: IndexEntries, entry: number, start: number): void {
		const { inodes } = this.#tree;
		const kind = entries.kind(entry);
		inodes.setMode(inode, formatOf(kind) | (kind === ENTRY.symlink ? 0o777 : entries.mode(entry)));
		inodes.setOwner(inode, entries.uid(entry), entries.gid(entry));
		inodes.setMtime(inode, entries.mtimeSeconds(entry), entries.mtimeNanoseconds(entry));
		inodes.setXattrs(inode, this.#xattrs(entries.xattrs(entry)));
		const place = entries.place(entry);
		switch (kind) {
			case ENTRY.file:
			case ENTRY.sparseFile: {
				const sizeBytes = entries.sizeBytes(entry);
				const { firstDevice } = this.#options;
				if (sizeBytes > 0)
					inodes.setContent(inode, sizeBytes, kind === ENTRY.file ? firstDevice : firstDevice + 1, place);
				break;
			}
			case ENTRY.symlink: {
				const target = start + entries.pathLength(entry);
				inodes.setTarget(inode, inodes.addTarget(entries.text, target, target + entries.targetLength(entry)));
				break;
			}
			case ENTRY.character:
			case ENTRY.block:
				inodes.setRdev(inode, place);
		}
	}

	#xattrs(set: number): number {
		if (set === 0) return NONE;
		const id = this.#sets[set] ?? this.#tree.internXattrs(this.#options.xattrSets[set - 1] ?? []);
		this.#sets[set] = id;
		return id;
	}

	#marksOf(entry: number): number {
		return this.#marks[entry] ?? 0;
	}

	#mark(entry: number, marks: number): void {
		this.#setMarks(entry, this.#marksOf(entry) | marks);
	}

	#setMarks(entry: number, marks: number): void {
		if (entry >= this.#marks.length) {
			const larger = new Uint8Array(2 * entry);
			larger.set(this.#marks);
			this.#marks = larger;
		}
		this.#marks[entry] = marks;
	}

	#markPresent(directory: number): void {
		for (let at = directory; (this.#marksOf(at) & PRESENT) === 0; at = this.#tree.parentOf(at)) {
			this.#mark(at, PRESENT);
		}
	}

	/** An entry becomes something else: the path resolved last may have led through it. */
	#forgetPathsThrough(entry: number): void {
		const format = this.#tree.inodes.modeOf(this.#tree.inodeOf(entry)) & linux.S_IFMT;
		if (format === linux.S_IFDIR || format === linux.S_IFLNK) this.#lastLength = -1;
	}

	#remember(bytes: Uint8Array, start: number, end: number, directory: number): void {
		const length = end - start;
		if (length > this.#lastPath.length) this.#lastPath = new Uint8Array(2 * length);
		for (let i = 0; i < length; i++) this.#lastPath[i] = bytes[start + i] ?? 0;
		this.#lastLength = length;
		this.#lastDirectory = directory;
	}

	/**
	 * Finds the directory at a path, through symbolic links: see `#directory` and `#missing`.
	 * False where only the lowers know.
	 */
	#resolve(bytes: Uint8Array, start: number, end: number): boolean {
		const length = end - start;
		this.#missing = [];
		if (length === 0) {
			this.#directory = this.#tree.root;
			return true;
		}
		const last = this.#lastPath;
		let same = 0;
		if (this.#lastLength > 0) while (same < length && last[same] === bytes[start + same]) same++;
		// Most are in the directory of the entry before, or below it.
		if (same >= this.#lastLength && this.#lastLength > 0) {
			if (length === this.#lastLength) {
				this.#directory = this.#lastDirectory;
				return true;
			}
			if (bytes[start + this.#lastLength] === SLASH) {
				return this.#walk(bytes, start, start + this.#lastLength + 1, end, this.#lastDirectory);
			}
		}
		return this.#walk(bytes, start, start, end, this.#tree.root);
	}

	/** Goes from `from` along the path of which the part from `at` is left. */
	#walk(bytes: Uint8Array, start: number, at: number, end: number, from: number): boolean {
		const walk = new PathWalk(this.#tree, from, bytes, at, end);
		const isThere = walk.run(this.#options.hasUnknownLowers === true);
		if (!isThere) {
			this.needsLowers = true;
			return false;
		}
		this.#directory = walk.directory;
		this.#missing = walk.missing;
		if (walk.missing.length === 0) this.#remember(bytes, start, end, walk.directory);
		return true;
	}
}

/** The format bits of what an entry of that kind makes. */
function formatOf(kind: number): number {
	switch (kind) {
		case ENTRY.directory:
			return linux.S_IFDIR;
		case ENTRY.symlink:
			return linux.S_IFLNK;
		case ENTRY.character:
			return linux.S_IFCHR;
		case ENTRY.block:
			return linux.S_IFBLK;
		case ENTRY.fifo:
			return linux.S_IFIFO;
		default:
			return linux.S_IFREG;
	}
}
