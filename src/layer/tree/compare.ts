/**
 * Whether two files of the same path are the same, by stat, xattrs and, where those cannot tell, content.
 *
 * Stricter than moby's naive comparison (`docker diff`), which looks at mode, owner, rdev, size, mtime and
 * security.capability alone and takes an edit of equal size with its mtime put back for no change.
 */
import * as linux from "../../linux/index.ts";
import { readXattrsAt, sameXattrs } from "./xattrs.ts";

const CHUNK_BYTES = 1 << 20;
const READ_FLAGS = linux.O_RDONLY | linux.O_NOFOLLOW | linux.O_NONBLOCK;

/** A file that was found: (directoryFd, name) opens it. */
export interface Located {
	readonly directoryFd: number;
	readonly name: Buffer;
	readonly stat: linux.Stat;
}

export function sameInode(a: linux.Stat, b: linux.Stat): boolean {
	return a.ino === b.ino && a.dev === b.dev;
}

/** Where some content begins in an open file. */
export interface ContentPlace {
	readonly fd: number;
	readonly offset: number;
}

/** Compares content; holds the two buffers that it reads with. */
export class ContentComparer {
	readonly #checkAborted: () => void;
	#buffers: readonly [Buffer, Buffer] | undefined;

	/** `checkAborted` is asked at each piece. */
	constructor(checkAborted: () => void = () => {}) {
		this.#checkAborted = checkAborted;
	}

	/** Whether both are the same for `sizeBytes`, or up to the ends of the files. */
	same(a: ContentPlace, b: ContentPlace, sizeBytes: number = Number.POSITIVE_INFINITY): boolean {
		this.#buffers ??= [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)];
		const [aBuffer, bBuffer] = this.#buffers;
		for (let done = 0; done < sizeBytes; ) {
			this.#checkAborted();
			const wanted = Math.min(CHUNK_BYTES, sizeBytes - done);
			const aBytes = readFully(a.fd, aBuffer, a.offset + done, wanted);
			const bBytes = readFully(b.fd, bBuffer, b.offset + done, wanted);
			if (aBytes !== bBytes || aBuffer.compare(bBuffer, 0, bBytes, 0, aBytes) !== 0) return false;
			if (aBytes < wanted) return true;
			done += aBytes;
		}
		return true;
	}
}

/** Compares files. */
export class FileComparer {
	readonly #content: ContentComparer;

	/** `checkAborted` is asked at each piece of content. */
	constructor(checkAborted?: () => void) {
		this.#content = new ContentComparer(checkAborted);
	}

	/**
	 * Whether two files are the same in type, mode, owner, device number, xattrs and, but for directories, size,
	 * mtime (ns) and content. Directories' mtimes do not count: they change with every child that comes or goes.
	 */
	same(a: Located, b: Located): boolean {
		if (sameInode(a.stat, b.stat)) return true;
		if (a.stat.mode !== b.stat.mode || a.stat.uid !== b.stat.uid || a.stat.gid !== b.stat.gid) return false;
		if (linux.isDirectory(a.stat)) return sameXattrsOf(a, b);
		if (a.stat.mtimeNs !== b.stat.mtimeNs || a.stat.sizeBytes !== b.stat.sizeBytes) return false;
		if (linux.isCharacter(a.stat) || linux.isBlock(a.stat)) {
			if (a.stat.rdevMajor !== b.stat.rdevMajor || a.stat.rdevMinor !== b.stat.rdevMinor) return false;
		}
		if (!sameXattrsOf(a, b)) return false;
		if (linux.isSymlink(a.stat)) {
			const target = linux.readlinkat(a.directoryFd, a.name);
			return target.equals(linux.readlinkat(b.directoryFd, b.name));
		}
		return !linux.isRegular(a.stat) || a.stat.sizeBytes === 0 || this.#sameContent(a, b);
	}

	#sameContent(a: Located, b: Located): boolean {
		const aFd = linux.openat(a.directoryFd, a.name, READ_FLAGS);
		try {
			const bFd = linux.openat(b.directoryFd, b.name, READ_FLAGS);
			try {
				return this.#sameBytes(aFd, bFd);
			} finally {
				linux.close(bFd);
			}
		} finally {
			linux.close(aFd);
		}
	}

	#sameBytes(aFd: number, bFd: number): boolean {
		// Somebody may have put a fifo or a device there since the stat: reading it could block, or do harm.
		if (!linux.isRegular(linux.fstat(aFd)) || !linux.isRegular(linux.fstat(bFd))) return false;
		return this.#content.same({ fd: aFd, offset: 0 }, { fd: bFd, offset: 0 });
	}
}

/** Reads so much from the file; returns less only at its end. */
function readFully(fd: number, buffer: Buffer, offset: number, length: number): number {
	let done = 0;
	while (done < length) {
		const count = linux.pread(fd, buffer, done, length - done, offset + done);
		if (count === 0) break;
		done += count;
	}
	return done;
}

function sameXattrsOf(a: Located, b: Located): boolean {
	return sameXattrs(readXattrsAt(a.directoryFd, a.name), readXattrsAt(b.directoryFd, b.name));
}
