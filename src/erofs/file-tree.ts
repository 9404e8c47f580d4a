/**
 * Owns one filesystem's tree while it is put together: entries, which are names in directories (EntryNames), and what
 * hangs together. Inodes are apart (InodeTable), so a hard link is one more entry of an inode.
 *
 * No entry has an object, string or Buffer of its own: it takes about 100 bytes with its inode. Nothing here recurses, so
 * trees may be as deep as memory lasts.
 */
import { escapePath, LamellaError } from "../errors/index.ts";
import { grown } from "./columns.ts";
import { EntryNames } from "./entry-names.ts";
import { InodeTable, NONE, S_IFDIR, S_IFMT } from "./inode-table.ts";
import { type Xattr, XattrSets } from "./xattr-sets.ts";

/** Longest name in bytes (NAME_MAX of Linux). */
const NAME_BYTES_MAX = 255;
const SLASH = 0x2f;
const DOT = 0x2e;

export class FileTree {
	/** The entry of the root directory; it has no name. */
	readonly root: number = 0;
	readonly inodes: InodeTable;
	readonly xattrSets: XattrSets = new XattrSets();

	readonly #names: EntryNames;
	#inode: Uint32Array;
	#firstChild: Int32Array;
	#next: Int32Array;
	#previous: Int32Array;
	/** By inode: how many entries it has. */
	#links: Uint32Array;

	/** With room for so many entries; it grows, which takes time and, meanwhile, twice the memory. */
	constructor(expectedEntries: number = 1000) {
		// One more: the root.
		const capacity = expectedEntries + 1;
		this.inodes = new InodeTable(capacity);
		this.#names = new EntryNames(capacity);
		this.#inode = new Uint32Array(capacity);
		this.#firstChild = new Int32Array(capacity);
		this.#next = new Int32Array(capacity);
		this.#previous = new Int32Array(capacity);
		this.#links = new Uint32Array(capacity);
		const inode = this.newInode();
		this.inodes.setMode(inode, S_IFDIR | 0o755);
		this.#setInode(this.root, inode);
	}

	/** A new inode, of no entry yet; its attributes are set in `inodes`. */
	newInode(): number {
		const inode = this.inodes.add();
		if (inode === this.#links.length) this.#links = grown(this.#links, 2 * inode);
		return inode;
	}

	/** The same set of xattrs gives the same id, for `inodes.setXattrs`. */
	internXattrs(xattrs: readonly Xattr[]): number {
		return this.xattrSets.intern(xattrs);
	}

	/** Entries in the tree, the root among them. */
	get entryCount(): number {
		return this.#names.count;
	}

	/** More than the highest number of an entry: the length of a column over entries. */
	get entryLimit(): number {
		return this.#names.limit;
	}

	/** Every inode made, also those that have no entry (any more). */
	get inodeCount(): number {
		return this.inodes.count;
	}

	/** The entry of that name in `directory`, or NONE. The name is `bytes` from `start` to `end`. */
	lookup(directory: number, bytes: Uint8Array, start: number, end: number): number {
		return this.#names.find(directory, bytes, start, end);
	}

	/**
	 * Gives `inode` a name in `directory`. The mode of `inode` is to be set before.
	 * @throws {LamellaError} `EEXISTS` where the name is taken; `EINVALID` where it is no name or `directory` is no
	 * directory; `ENOTSUPPORTED` where it is longer than 255 bytes
	 */
	insert(directory: number, bytes: Uint8Array, start: number, end: number, inode: number): number {
		this.#checkName(directory, bytes, start, end);
		if (!this.isDirectory(directory)) {
			throw this.#refused("EINVALID", directory, bytes, start, end, "what it is in is no directory");
		}
		const entry = this.#names.add(directory, bytes, start, end);
		if (entry === NONE) {
			throw this.#refused("EEXISTS", directory, bytes, start, end, "there is one already");
		}
		this.#setInode(entry, inode);
		const first = this.#firstChild[directory] ?? NONE;
		this.#next[entry] = first;
		if (first !== NONE) this.#previous[first] = entry;
		this.#firstChild[directory] = entry;
		return entry;
	}

	/** Takes the entry out of the tree, with everything below it. Its number may be given again. */
	remove(entry: number): void {
		if (entry === this.root) throw new LamellaError("EINVALID", "the root of a tree cannot be removed");
		for (let at = entry; ; ) {
			const child = this.#firstChild[at] ?? NONE;
			if (child !== NONE) {
				at = child;
				continue;
			}
			const parent = this.parentOf(at);
			this.#removeLeaf(at);
			if (at === entry) return;
			at = parent;
		}
	}

	/** The entry stands for another inode from now on. What is below it stays if that is a directory, too. */
	replaceInode(entry: number, inode: number): void {
		const old = this.inodeOf(entry);
		const isDirectory = (this.inodes.modeOf(inode) & S_IFMT) === S_IFDIR;
		if (entry === this.root && !isDirectory)
			throw new LamellaError("EINVALID", "the root is to be a directory");
		this.#links[inode] = this.linksOf(inode) + 1;
		this.#links[old] = this.linksOf(old) - 1;
		this.#inode[entry] = inode;
		if (isDirectory) return;
		for (let child = this.firstChild(entry); child !== NONE; child = this.firstChild(entry))
			this.remove(child);
	}

	inodeOf(entry: number): number {
		return this.#inode[entry] ?? 0;
	}

	/** The directory that the entry is in; the root's is the root. */
	parentOf(entry: number): number {
		return this.#names.parentOf(entry);
	}

	isDirectory(entry: number): boolean {
		return (this.inodes.modeOf(this.inodeOf(entry)) & S_IFMT) === S_IFDIR;
	}

	/** How many entries the inode has. */
	linksOf(inode: number): number {
		return this.#links[inode] ?? 0;
	}

	/** An entry in that directory, or NONE; `nextSibling` gives the others, in no order that means anything. */
	firstChild(directory: number): number {
		return this.#firstChild[directory] ?? NONE;
	}

	nextSibling(entry: number): number {
		return this.#next[entry] ?? NONE;
	}

	/** A copy of the entry's name. */
	nameOf(entry: number): Uint8Array {
		const start = this.nameStart(entry);
		return this.#names.bytes.slice(start, start + this.nameLength(entry));
	}

	/** All names, each where `nameStart` says; another array after the next `insert`. */
	get nameBytes(): Uint8Array {
		return this.#names.bytes;
	}

	nameStart(entry: number): number {
		return this.#names.start(entry);
	}

	nameLength(entry: number): number {
		return this.#names.length(entry);
	}

	/** The path from the root, for messages: `usr/bin/sh`, escaped; `.` for the root. */
	pathOf(entry: number): string {
		const names: string[] = [];
		for (let at = entry; at !== this.root; at = this.parentOf(at)) names.push(escapePath(this.nameOf(at)));
		return names.length === 0 ? "." : names.reverse().join("/");
	}

	/** Of a new entry. */
	#setInode(entry: number, inode: number): void {
		if (entry === this.#inode.length) this.#grow();
		this.#inode[entry] = inode;
		this.#firstChild[entry] = NONE;
		this.#next[entry] = NONE;
		this.#previous[entry] = NONE;
		this.#links[inode] = this.linksOf(inode) + 1;
	}

	#grow(): void {
		const capacity = 2 * this.#inode.length;
		this.#inode = grown(this.#inode, capacity);
		this.#firstChild = grown(this.#firstChild, capacity);
		this.#next = grown(this.#next, capacity);
		this.#previous = grown(this.#previous, capacity);
	}

	#removeLeaf(entry: number): void {
		const next = this.nextSibling(entry);
		const previous = this.#previous[entry] ?? NONE;
		if (previous === NONE) this.#firstChild[this.parentOf(entry)] = next;
		else this.#next[previous] = next;
		if (next !== NONE) this.#previous[next] = previous;
		this.#names.remove(entry);
		const inode = this.inodeOf(entry);
		this.#links[inode] = this.linksOf(inode) - 1;
	}

	#checkName(directory: number, bytes: Uint8Array, start: number, end: number): void {
		const length = end - start;
		if (length > NAME_BYTES_MAX) {
			throw this.#refused("ENOTSUPPORTED", directory, bytes, start, end, "a name has at most 255 bytes");
		}
		let isName =
			length > 0 && !(bytes[start] === DOT && (length === 1 || (length === 2 && bytes[start + 1] === DOT)));
		for (let at = start; at < end; at++) {
			const byte = bytes[at];
			if (byte === SLASH || byte === 0) isName = false;
		}
		if (!isName) throw this.#refused("EINVALID", directory, bytes, start, end, "that is not a name");
	}

	#refused(
		code: "EEXISTS" | "EINVALID" | "ENOTSUPPORTED",
		directory: number,
		bytes: Uint8Array,
		start: number,
		end: number,
		why: string,
	): LamellaError {
		const name = escapePath(bytes.subarray(start, end));
		const path = directory === this.root ? name : `${this.pathOf(directory)}/${name}`;
		return new LamellaError(code, `"${path}" cannot be an entry: ${why}`, { path });
	}
}
