/**
 * Owns the reading of an image that `writeImage` made: for checks and tests, not for speed. Hostile bytes end in an
 * error: never in a crash, an endless walk or bytes from elsewhere.
 */
import { Buffer } from "node:buffer";
import { DIRENT, FILE_TYPES, SUPERBLOCK } from "./format.ts";
import { corrupt, type ImageHead, readHead, readInteger, refuseOtherSize } from "./image-head.ts";
import { S_IFDIR, S_IFMT } from "./inode-table.ts";
import { type ImageInode, type ReadInode, readInode } from "./read-inode.ts";
import { contentUuid } from "./seal.ts";

export interface ImageEntry {
	/** Empty for the root. */
	readonly name: Uint8Array;
	readonly parent: ImageEntry | undefined;
	readonly inode: ImageInode;
}

/**
 * All entries, the root first, each directory before what is in it. The last step compares link counts and the
 * number of inodes.
 * @throws {LamellaError} `ECORRUPT` where the image contradicts itself
 */
export function* readImage(image: Uint8Array): Generator<ImageEntry, void, undefined> {
	yield* new ImageReader(image).walk();
}

/**
 * Finds out whether the image is, to the last byte, as it was written.
 * @throws {LamellaError} `ECORRUPT` where it was altered
 */
export function verifyImage(image: Uint8Array): void {
	readHead(image);
	const at = SUPERBLOCK.offset + SUPERBLOCK.uuidAt;
	const stated = image.subarray(at, at + SUPERBLOCK.uuidBytes);
	if (Buffer.compare(stated, contentUuid(image)) !== 0) throw corrupt("its content does not fit its uuid");
}

interface Dirent {
	readonly name: Uint8Array;
	readonly nid: number;
	readonly fileType: number;
}

const DOT = Buffer.from(".");
const DOT_DOT = Buffer.from("..");

const isDirectory = ({ inode }: { inode: ImageInode }): boolean => (inode.mode & S_IFMT) === S_IFDIR;

class ImageReader {
	readonly #image: Uint8Array;
	readonly #head: ImageHead;
	readonly #inodes = new Map<number, ReadInode>();
	/** By nid: names found. */
	readonly #names = new Map<number, number>();
	/** What may still be read: an image does not state more entries, or more bytes of inodes, than it has bytes. */
	#entriesLeft: number;
	#inodeBytesLeft: number;

	constructor(image: Uint8Array) {
		this.#head = readHead(image);
		refuseOtherSize(image.length, this.#head.blocks);
		this.#image = image;
		this.#entriesLeft = Math.floor(image.length / DIRENT.bytes);
		this.#inodeBytesLeft = image.length;
	}

	*walk(): Generator<ImageEntry, void, undefined> {
		const root: ImageEntry = {
			name: new Uint8Array(0),
			parent: undefined,
			inode: this.#inode(this.#head.rootNid).inode,
		};
		if (!isDirectory(root)) throw corrupt("its root is no directory");
		yield root;
		const waiting = [root];
		const walked = new Set<number>();
		for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
			const { nid, links } = entry.inode;
			if (walked.has(nid)) throw corrupt(`directory ${nid} is in two places`);
			walked.add(nid);
			const children = this.#children(entry);
			const subdirectories = children.filter(isDirectory);
			if (links !== 2 + subdirectories.length) {
				throw corrupt(`directory ${nid} has ${subdirectories.length} in it, but states ${links} links`);
			}
			yield* children;
			for (const directory of subdirectories.reverse()) waiting.push(directory);
		}
		this.#checkCounts();
	}

	#checkCounts(): void {
		if (this.#head.inodes !== this.#inodes.size) {
			throw corrupt(`it has ${this.#inodes.size} inodes, but states ${this.#head.inodes}`);
		}
		for (const [nid, found] of this.#inodes) {
			const names = this.#names.get(nid) ?? 0;
			if (!isDirectory(found) && found.inode.links !== names) {
				throw corrupt(`inode ${nid} has ${names} names, but states ${found.inode.links}`);
			}
		}
	}

	#inode(nid: number): ReadInode {
		const known = this.#inodes.get(nid);
		if (known !== undefined) return known;
		const found = readInode(this.#image, this.#head, nid);
		this.#inodeBytesLeft -= found.bytes;
		if (this.#inodeBytesLeft < 0) throw corrupt("its inodes overlap");
		this.#inodes.set(nid, found);
		return found;
	}

	#children(directory: ImageEntry): ImageEntry[] {
		const { nid } = directory.inode;
		const children: ImageEntry[] = [];
		let previous: Uint8Array | undefined;
		let dots = 0;
		for (const { name, nid: child, fileType } of this.#dirents(nid)) {
			if (this.#entriesLeft-- <= 0) throw corrupt("its directories overlap");
			if (previous !== undefined && Buffer.compare(previous, name) >= 0) {
				throw corrupt(`the names in directory ${nid} are not sorted`);
			}
			previous = name;
			const isDot = Buffer.compare(name, DOT) === 0;
			if (isDot || Buffer.compare(name, DOT_DOT) === 0) {
				const expected = isDot ? nid : (directory.parent?.inode.nid ?? nid);
				if (child !== expected) throw corrupt(`"." or ".." of directory ${nid} is another one`);
				dots++;
				continue;
			}
			const { inode } = this.#inode(child);
			if (fileType !== FILE_TYPES[inode.mode >>> 12])
				throw corrupt(`an entry of directory ${nid} has a wrong type`);
			this.#names.set(child, (this.#names.get(child) ?? 0) + 1);
			children.push({ name, parent: directory, inode });
		}
		if (dots !== 2) throw corrupt(`directory ${nid} has not both "." and ".."`);
		return children;
	}

	*#dirents(nid: number): Generator<Dirent, void, undefined> {
		for (const block of this.#inode(nid).directoryBlocks) yield* readDirents(nid, block);
	}
}

function* readDirents(directory: number, block: Uint8Array): Generator<Dirent, void, undefined> {
	const bad = (): Error => corrupt(`a block of names of directory ${directory} makes no sense`);
	if (block.length < DIRENT.bytes) throw bad();
	const view = new DataView(block.buffer, block.byteOffset, block.length);
	const namesAt = view.getUint16(DIRENT.nameOffsetAt, true);
	if (namesAt < DIRENT.bytes || namesAt % DIRENT.bytes !== 0 || namesAt > block.length) throw bad();
	for (let at = 0; at < namesAt; at += DIRENT.bytes) {
		const isLast = at + DIRENT.bytes === namesAt;
		const start = view.getUint16(at + DIRENT.nameOffsetAt, true);
		let end = isLast ? block.length : view.getUint16(at + DIRENT.bytes + DIRENT.nameOffsetAt, true);
		if (start < namesAt || end > block.length || start >= end) throw bad();
		// The rest of a block behind the last name is zeros.
		if (isLast) while (end > start && block[end - 1] === 0) end--;
		const name = block.subarray(start, end);
		if (name.length === 0 || name.length > 255 || name.includes(0) || name.includes(0x2f)) throw bad();
		yield {
			name,
			nid: readInteger(view, at + DIRENT.nidAt),
			fileType: view.getUint8(at + DIRENT.typeAt),
		};
	}
}
