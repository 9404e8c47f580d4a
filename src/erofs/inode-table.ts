/**
 * Owns the attributes of inodes, a column each: no object an inode. What Linux has no number for is refused when it
 * is set, so nothing wraps.
 */
import { LamellaError } from "../errors/index.ts";
import { ByteStore, grown } from "./columns.ts";

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

/** What `xattrsOf` and `targetOf` say where there is none. */
export const NONE = -1;

const U32_MAX = 2 ** 32 - 1;

/**
 * A device number as an inode holds it (the kernel's new_encode_dev).
 * @throws {LamellaError} `EINVALID` where Linux has no such number
 */
export function encodeDevice(major: number, minor: number): number {
	check("device major", major, 0, 0xfff);
	check("device minor", minor, 0, 0xfffff);
	return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

function check(what: string, value: number, least: number, most: number): void {
	if (value >= least && value <= most && Math.floor(value) === value) return;
	throw new LamellaError("EINVALID", `${what} ${value} is not a whole number from ${least} to ${most}`);
}

/** Attributes by inode number; a new inode is a regular file of mode 0, empty, of root, at time 0. */
export class InodeTable {
	#count = 0;
	#capacity: number;
	#mode: Uint16Array;
	#uid: Uint32Array;
	#gid: Uint32Array;
	#mtimeSeconds: Float64Array;
	#mtimeNanoseconds: Uint32Array;
	#sizeBytes: Float64Array;
	#rdev: Uint32Array;
	#device: Uint16Array;
	#deviceBlock: Uint32Array;
	// 0 is none, so that a new element need not be set.
	#xattrs: Uint32Array;
	#target: Uint32Array;
	readonly #targetBytes = new ByteStore();
	#targetCount = 0;
	#targetStart = new Uint32Array(64);
	#targetEnd = new Uint32Array(64);

	/** With room for `capacity` inodes; it grows. */
	constructor(capacity: number) {
		this.#capacity = capacity;
		this.#mode = new Uint16Array(capacity);
		this.#uid = new Uint32Array(capacity);
		this.#gid = new Uint32Array(capacity);
		this.#mtimeSeconds = new Float64Array(capacity);
		this.#mtimeNanoseconds = new Uint32Array(capacity);
		this.#sizeBytes = new Float64Array(capacity);
		this.#rdev = new Uint32Array(capacity);
		this.#device = new Uint16Array(capacity);
		this.#deviceBlock = new Uint32Array(capacity);
		this.#xattrs = new Uint32Array(capacity);
		this.#target = new Uint32Array(capacity);
	}

	get count(): number {
		return this.#count;
	}

	/** The number of a new inode. */
	add(): number {
		const inode = this.#count++;
		if (inode === this.#capacity) this.#grow();
		this.#mode[inode] = S_IFREG;
		return inode;
	}

	#grow(): void {
		const capacity = 2 * this.#capacity;
		this.#mode = grown(this.#mode, capacity);
		this.#uid = grown(this.#uid, capacity);
		this.#gid = grown(this.#gid, capacity);
		this.#mtimeSeconds = grown(this.#mtimeSeconds, capacity);
		this.#mtimeNanoseconds = grown(this.#mtimeNanoseconds, capacity);
		this.#sizeBytes = grown(this.#sizeBytes, capacity);
		this.#rdev = grown(this.#rdev, capacity);
		this.#device = grown(this.#device, capacity);
		this.#deviceBlock = grown(this.#deviceBlock, capacity);
		this.#xattrs = grown(this.#xattrs, capacity);
		this.#target = grown(this.#target, capacity);
		this.#capacity = capacity;
	}

	/** `mode` is with its type (S_IFMT). @throws {LamellaError} `EINVALID`, as all setters do */
	setMode(inode: number, mode: number): void {
		switch (mode & S_IFMT) {
			case S_IFREG:
			case S_IFDIR:
			case S_IFLNK:
			case S_IFCHR:
			case S_IFBLK:
			case S_IFIFO:
			case S_IFSOCK:
				break;
			default:
				throw new LamellaError("EINVALID", `mode 0o${mode.toString(8)} has no type that Linux knows`);
		}
		check("mode", mode, 0, 0xffff);
		this.#mode[inode] = mode;
	}

	/** 4294967295 is no id: it is -1 to system calls. */
	setOwner(inode: number, uid: number, gid: number): void {
		check("uid", uid, 0, U32_MAX - 1);
		check("gid", gid, 0, U32_MAX - 1);
		this.#uid[inode] = uid;
		this.#gid[inode] = gid;
	}

	/** `seconds` may be negative. */
	setMtime(inode: number, seconds: number, nanoseconds: number): void {
		check("mtime", seconds, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
		check("mtime's nanoseconds", nanoseconds, 0, 999_999_999);
		this.#mtimeSeconds[inode] = seconds;
		this.#mtimeNanoseconds[inode] = nanoseconds;
	}

	/**
	 * Where a regular file's content lies: `deviceBlock` (of 512 bytes) of `device` (1 is the first of the device
	 * table). An empty file needs none.
	 */
	setContent(inode: number, sizeBytes: number, device: number, deviceBlock: number): void {
		check("size", sizeBytes, 0, Number.MAX_SAFE_INTEGER);
		check("device", device, sizeBytes === 0 ? 0 : 1, 0xffff);
		check("device block", deviceBlock, 0, U32_MAX);
		this.#sizeBytes[inode] = sizeBytes;
		this.#device[inode] = device;
		this.#deviceBlock[inode] = deviceBlock;
	}

	/** Of a character or block device, as `encodeDevice` gives it. */
	setRdev(inode: number, rdev: number): void {
		check("device number", rdev, 0, U32_MAX);
		this.#rdev[inode] = rdev;
	}

	/** An id of `XattrSets.intern`, or NONE. */
	setXattrs(inode: number, id: number): void {
		this.#xattrs[inode] = id + 1;
	}

	/** An id of `addTarget`, or NONE. */
	setTarget(inode: number, id: number): void {
		this.#target[inode] = id + 1;
	}

	/** Keeps a symbolic link's target; the id is for `setTarget`. */
	addTarget(bytes: Uint8Array, start: number, end: number): number {
		const id = this.#targetCount++;
		if (id === this.#targetStart.length) {
			this.#targetStart = grown(this.#targetStart, 2 * id);
			this.#targetEnd = grown(this.#targetEnd, 2 * id);
		}
		const offset = this.#targetBytes.append(bytes, start, end);
		this.#targetStart[id] = offset;
		this.#targetEnd[id] = offset + end - start;
		return id;
	}

	/** A view of the bytes of target `id`, good until the next `addTarget`. */
	target(id: number): Uint8Array {
		return this.#targetBytes.bytes.subarray(this.#targetStart[id] ?? 0, this.#targetEnd[id] ?? 0);
	}

	targetLength(id: number): number {
		return (this.#targetEnd[id] ?? 0) - (this.#targetStart[id] ?? 0);
	}

	modeOf(inode: number): number {
		return this.#mode[inode] ?? 0;
	}

	uidOf(inode: number): number {
		return this.#uid[inode] ?? 0;
	}

	gidOf(inode: number): number {
		return this.#gid[inode] ?? 0;
	}

	mtimeSecondsOf(inode: number): number {
		return this.#mtimeSeconds[inode] ?? 0;
	}

	mtimeNanosecondsOf(inode: number): number {
		return this.#mtimeNanoseconds[inode] ?? 0;
	}

	sizeBytesOf(inode: number): number {
		return this.#sizeBytes[inode] ?? 0;
	}

	rdevOf(inode: number): number {
		return this.#rdev[inode] ?? 0;
	}

	/** 0 is none. */
	deviceOf(inode: number): number {
		return this.#device[inode] ?? 0;
	}

	deviceBlockOf(inode: number): number {
		return this.#deviceBlock[inode] ?? 0;
	}

	xattrsOf(inode: number): number {
		return (this.#xattrs[inode] ?? 0) - 1;
	}

	targetOf(inode: number): number {
		return (this.#target[inode] ?? 0) - 1;
	}
}
