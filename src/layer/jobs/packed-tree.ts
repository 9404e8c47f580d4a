/**
 * A small tree as bytes, exactly as it is on disk: whiteout devices, overlayfs's xattrs and all. For a promise that has to
 * outlive a power cut before the tree itself is flushed (note.ts); it never leaves the machine.
 *
 * Four bytes of length, the entries as JSON (names and xattrs as Latin-1), and the content of the files, one after the other.
 */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { Usage } from "../contract.ts";
import { asLamellaError } from "../system-failure.ts";
import { openTop, withChild } from "../tree/walk.ts";

/** A tree of more is not small. */
const ENTRIES_MAX = 64;
const HEAD_BYTES = 4;
/** What an entry's JSON has at least. */
const ENTRY_BYTES = 60;
const BLOCK_BYTES = 512;
const PERMISSIONS = 0o7777;
const PRIVATE_MODE = 0o700;
const READ_FLAGS = linux.O_RDONLY | linux.O_NOFOLLOW | linux.O_NONBLOCK;
const CREATE_FLAGS = linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL | linux.O_NOFOLLOW;
/** The host's label is given anew by the policy. */
const LABEL = "security.selinux";

interface PackedEntry {
	/** Type and permissions. */
	readonly mode: number;
	readonly uid: number;
	readonly gid: number;
	/** Nanoseconds. The time of access is not the layer's. */
	readonly mtime: string;
	readonly xattrs?: readonly (readonly [name: string, value: string])[];
	/** Of a device. */
	readonly rdev?: readonly [major: number, minor: number];
	/** Of a symbolic link. */
	readonly target?: string;
	/** Of a file. */
	readonly sizeBytes?: number;
	/** Of a directory. */
	readonly children?: readonly (readonly [name: string, child: PackedEntry])[];
}

export interface PackedTree {
	readonly bytes: Buffer;
	/** As `usageOf` counts it. */
	readonly usage: Usage;
}

/** The tree is not one that can be packed. Not an error of the system: it is flushed then. */
class NotSmall extends Error {}

/**
 * Packs a directory and what is below it. Undefined where it would take more than `bytesMax`, or has something that only
 * the filesystem can keep: hard links, holes.
 * @throws {LamellaError} `ESYSTEM`
 */
export function packTree(directory: string, bytesMax: number): PackedTree | undefined {
	try {
		const fd = openTop(directory);
		try {
			const packer = new Packer(bytesMax);
			const bytes = packer.bytes(packer.directory(fd));
			return { bytes, usage: packer.usage };
		} finally {
			linux.close(fd);
		}
	} catch (error) {
		if (error instanceof NotSmall) return undefined;
		throw asLamellaError(error, "read", () => linux.escapePath(Buffer.from(directory)));
	}
}

class Packer {
	readonly #bytesMax: number;
	#entries = 0;
	#bytes = HEAD_BYTES;
	#blocks = 0;
	readonly #contents: Buffer[] = [];

	constructor(bytesMax: number) {
		this.#bytesMax = bytesMax;
	}

	bytes(root: PackedEntry): Buffer {
		const json = Buffer.from(JSON.stringify(root));
		const head = Buffer.alloc(HEAD_BYTES);
		head.writeUInt32BE(json.length);
		const packed = Buffer.concat([head, json, ...this.#contents]);
		if (packed.length > this.#bytesMax) throw new NotSmall();
		return packed;
	}

	get usage(): Usage {
		// The directory itself is one more.
		return { sizeBytes: this.#blocks * BLOCK_BYTES, inodes: this.#entries + 1 };
	}

	directory(fd: number): PackedEntry {
		const stat = linux.fstat(fd);
		this.#blocks += stat.blocks;
		const xattrs = readAll(linux.flistxattr(fd), (name) => linux.fgetxattr(fd, name));
		const names = linux.readDirectory(fd).sort((a, b) => Buffer.compare(a.name, b.name));
		this.#count(names.length);
		const children = names.map(({ name }): [string, PackedEntry] => [
			name.toString("latin1"),
			this.#child(fd, name),
		]);
		return { ...attributes(stat, xattrs), children };
	}

	#child(fd: number, name: Buffer): PackedEntry {
		const stat = linux.fstatat(fd, name, linux.AT_SYMLINK_NOFOLLOW);
		if (linux.isDirectory(stat)) return withChild(fd, name, (child) => this.directory(child));
		if (stat.nlink > 1) throw new NotSmall();
		this.#blocks += stat.blocks;
		const xattrs = readAll(linux.llistxattrAt(fd, name), (xattr) => linux.lgetxattrAt(fd, name, xattr));
		const entry = attributes(stat, xattrs);
		if (linux.isSymlink(stat)) return { ...entry, target: linux.readlinkat(fd, name).toString("latin1") };
		if (!linux.isRegular(stat)) return { ...entry, rdev: [stat.rdevMajor, stat.rdevMinor] };
		this.#readContent(fd, name, stat);
		return { ...entry, sizeBytes: stat.sizeBytes };
	}

	#readContent(fd: number, name: Buffer, stat: linux.Stat): void {
		if (stat.sizeBytes === 0) return;
		this.#take(stat.sizeBytes);
		if (stat.blocks * BLOCK_BYTES < stat.sizeBytes) throw new NotSmall();
		const file = linux.openat(fd, name, READ_FLAGS);
		try {
			const content = Buffer.allocUnsafe(stat.sizeBytes);
			// One that is being written yet is not for packing.
			if (linux.pread(file, content, 0, content.length, 0) !== content.length) throw new NotSmall();
			this.#contents.push(content);
		} finally {
			linux.close(file);
		}
	}

	#count(entries: number): void {
		this.#entries += entries;
		if (this.#entries > ENTRIES_MAX) throw new NotSmall();
		this.#take(entries * ENTRY_BYTES);
	}

	/** Gives up as soon as it is too much. */
	#take(bytes: number): void {
		this.#bytes += bytes;
		if (this.#bytes > this.#bytesMax) throw new NotSmall();
	}
}

function attributes(stat: linux.Stat, xattrs: readonly (readonly [string, string])[]): PackedEntry {
	const { mode, uid, gid, mtimeNs } = stat;
	const entry = { mode, uid, gid, mtime: String(mtimeNs) };
	return xattrs.length > 0 ? { ...entry, xattrs } : entry;
}

function readAll(
	names: readonly Buffer[],
	read: (name: Buffer) => Buffer | undefined,
): (readonly [string, string])[] {
	const all: (readonly [string, string])[] = [];
	for (const name of names) {
		const text = name.toString("latin1");
		const value = text === LABEL ? undefined : read(name);
		if (value !== undefined) all.push([text, value.toString("latin1")]);
	}
	return all.sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * Makes a directory with the tree that `packTree` packed; flushing it is the caller's.
 * @throws {LamellaError} `ECORRUPT` where the bytes make no sense; `ENOSPACE`, `EEXISTS`, `ESYSTEM`
 */
export function unpackTree(packed: Uint8Array, directory: string): void {
	const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.length);
	try {
		const end = HEAD_BYTES + bytes.readUInt32BE();
		const root = JSON.parse(bytes.toString("utf8", HEAD_BYTES, end)) as PackedEntry;
		linux.mkdirat(linux.AT_FDCWD, directory, PRIVATE_MODE);
		const fd = openTop(directory);
		try {
			new Unpacker(bytes.subarray(end)).directory(fd, root);
		} finally {
			linux.close(fd);
		}
	} catch (error) {
		throw asLamellaError(error, "restore", () => linux.escapePath(Buffer.from(directory)));
	}
}

class Unpacker {
	#contents: Buffer;

	constructor(contents: Buffer) {
		this.#contents = contents;
	}

	directory(fd: number, entry: PackedEntry): void {
		for (const [text, child] of entry.children ?? []) this.#child(fd, nameOf(text), child);
		linux.fchown(fd, entry.uid, entry.gid);
		for (const [name, value] of entry.xattrs ?? []) {
			linux.fsetxattr(fd, Buffer.from(name, "latin1"), Buffer.from(value, "latin1"));
		}
		linux.fchmod(fd, entry.mode & PERMISSIONS);
		linux.futimens(fd, BigInt(entry.mtime), BigInt(entry.mtime));
	}

	#child(fd: number, name: Buffer, entry: PackedEntry): void {
		if (linux.isDirectory(entry)) {
			linux.mkdirat(fd, name, PRIVATE_MODE);
			withChild(fd, name, (child) => this.directory(child, entry));
			return;
		}
		if (linux.isSymlink(entry)) linux.symlinkat(Buffer.from(entry.target ?? "", "latin1"), fd, name);
		else if (linux.isRegular(entry)) this.#file(fd, name, entry.sizeBytes ?? 0);
		else linux.mknodat(fd, name, entry.mode, ...(entry.rdev ?? [0, 0]));
		linux.fchownat(fd, name, entry.uid, entry.gid);
		for (const [xattr, value] of entry.xattrs ?? []) {
			linux.lsetxattrAt(fd, name, Buffer.from(xattr, "latin1"), Buffer.from(value, "latin1"));
		}
		if (!linux.isSymlink(entry)) linux.fchmodat(fd, name, entry.mode & PERMISSIONS);
		linux.utimensat(fd, name, BigInt(entry.mtime), BigInt(entry.mtime));
	}

	#file(fd: number, name: Buffer, sizeBytes: number): void {
		const content = this.#contents.subarray(0, sizeBytes);
		if (content.length !== sizeBytes) throw new LamellaError("ECORRUPT", "a packed tree is cut off");
		this.#contents = this.#contents.subarray(sizeBytes);
		const file = linux.openat(fd, name, CREATE_FLAGS, PRIVATE_MODE);
		try {
			linux.pwrite(file, content, 0, sizeBytes, 0);
		} finally {
			linux.close(file);
		}
	}
}

function nameOf(text: string): Buffer {
	if (text === "" || text === "." || text === ".." || /[/\0]/.test(text)) {
		throw new LamellaError("ECORRUPT", "a packed tree has a name that none can have");
	}
	return Buffer.from(text, "latin1");
}
