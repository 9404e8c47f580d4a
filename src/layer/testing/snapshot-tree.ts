/**
 * For tests: everything that a layer may carry about a tree, as plain data that `toEqual` compares and prints well.
 */
import { createHash } from "node:crypto";
import * as linux from "../../linux/index.ts";

export interface NodeSnapshot {
	readonly type: "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";
	/** Octal, with setuid, setgid and sticky. Left out for symbolic links, which have none. */
	readonly mode?: string;
	readonly owner: string;
	readonly mtimeNs: string;
	readonly sizeBytes?: number;
	/** sha256 of a file's content. */
	readonly content?: string;
	/** Where a file's data lies, `offset+length`; only for files with holes. */
	readonly data?: readonly string[];
	readonly target?: string;
	readonly device?: string;
	/** Name → value in hex. */
	readonly xattrs?: Readonly<Record<string, string>>;
	/** All paths of the link set, where there is more than one. */
	readonly links?: readonly string[];
	/** Only with `inodes`. */
	readonly inode?: string;
}

export interface SnapshotOptions {
	/** Also the inode numbers: for "this tree was not touched at all". */
	readonly inodes?: boolean;
	/** xattrs to leave out, by full name as latin1. */
	readonly ignoreXattr?: (name: string) => boolean;
	/** Leave out modification times of directories (a merged mount changes some of its own accord). */
	readonly ignoreDirectoryTimes?: boolean;
	/** Do not compare where the data lies. */
	readonly ignoreHoles?: boolean;
}

/** The tree below `directory`, by escaped relative path (the root is "."), in bytewise order. */
export function snapshotTree(directory: string, options: SnapshotOptions = {}): Record<string, NodeSnapshot> {
	const nodes = new Map<string, NodeSnapshot>();
	const linkSets = new Map<string, string[]>();
	const rootFd = linux.openat(linux.AT_FDCWD, directory, linux.O_RDONLY | linux.O_DIRECTORY);
	try {
		visitDirectory(rootFd, ".");
	} finally {
		linux.close(rootFd);
	}
	for (const paths of linkSets.values()) {
		if (paths.length < 2) continue;
		for (const path of paths) {
			const node = nodes.get(path);
			if (node !== undefined) nodes.set(path, { ...node, links: paths });
		}
	}
	return Object.fromEntries(nodes);

	function visitDirectory(fd: number, path: string): void {
		nodes.set(path, describe(fd, ".", path));
		const entries = linux.readDirectory(fd).sort((a, b) => Buffer.compare(a.name, b.name));
		for (const { name } of entries) {
			const childPath = path === "." ? linux.escapePath(name) : `${path}/${linux.escapePath(name)}`;
			const stat = linux.fstatat(fd, name);
			if (linux.isDirectory(stat)) {
				const flags = linux.O_RDONLY | linux.O_DIRECTORY | linux.O_NOFOLLOW;
				const childFd = linux.openat(fd, name, flags);
				try {
					visitDirectory(childFd, childPath);
				} finally {
					linux.close(childFd);
				}
			} else nodes.set(childPath, describe(fd, name, childPath));
		}
	}

	function describe(directoryFd: number, name: string | Buffer, path: string): NodeSnapshot {
		const stat = linux.fstatat(directoryFd, name);
		const type = typeOf(stat);
		if (type !== "directory" && stat.nlink > 1) {
			const key = `${stat.dev}:${stat.ino}`;
			linkSets.set(key, [...(linkSets.get(key) ?? []), path]);
		}
		const xattrs = xattrsOf(directoryFd, name, options);
		const timeless = type === "directory" && options.ignoreDirectoryTimes === true;
		return {
			type,
			...(type === "symlink" ? {} : { mode: (stat.mode & 0o7777).toString(8).padStart(4, "0") }),
			owner: `${stat.uid}:${stat.gid}`,
			mtimeNs: timeless ? "ignored" : String(stat.mtimeNs),
			...(type === "symlink" ? { target: linux.escapePath(linux.readlinkat(directoryFd, name)) } : {}),
			...(type === "character" || type === "block" ? { device: `${stat.rdevMajor}:${stat.rdevMinor}` } : {}),
			...(type === "file" ? contentOf(directoryFd, name, stat, options) : {}),
			...(xattrs === undefined ? {} : { xattrs }),
			...(options.inodes === true ? { inode: `${stat.dev}:${stat.ino}` } : {}),
		};
	}
}

function contentOf(
	directoryFd: number,
	name: string | Buffer,
	stat: linux.Stat,
	options: SnapshotOptions,
): Pick<NodeSnapshot, "sizeBytes" | "content" | "data"> {
	const fd = linux.openat(directoryFd, name, linux.O_RDONLY | linux.O_NOFOLLOW | linux.O_NOATIME);
	try {
		const data: string[] = [];
		let hasHoles = false;
		let position = 0;
		while (position < stat.sizeBytes) {
			const start = linux.seekData(fd, position);
			if (start !== position) hasHoles = true;
			if (start === undefined) break;
			const end = Math.min(linux.seekHole(fd, start), stat.sizeBytes);
			data.push(`${start}+${end - start}`);
			position = end;
		}
		return {
			sizeBytes: stat.sizeBytes,
			content: contentHash(fd, stat.sizeBytes),
			...(hasHoles && options.ignoreHoles !== true ? { data } : {}),
		};
	} finally {
		linux.close(fd);
	}
}

function contentHash(fd: number, sizeBytes: number): string {
	const hash = createHash("sha256");
	const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(sizeBytes, 1 << 20)));
	for (let position = 0; position < sizeBytes; ) {
		const count = linux.pread(fd, buffer, 0, buffer.length, position);
		if (count === 0) break;
		hash.update(buffer.subarray(0, count));
		position += count;
	}
	return hash.digest("hex");
}

function xattrsOf(
	directoryFd: number,
	name: string | Buffer,
	{ ignoreXattr }: SnapshotOptions,
): Record<string, string> | undefined {
	const found: [string, string][] = [];
	for (const bytes of linux.llistxattrAt(directoryFd, name)) {
		const text = bytes.toString("latin1");
		if (text === "security.selinux" || ignoreXattr?.(text) === true) continue;
		found.push([linux.escapePath(bytes), linux.lgetxattrAt(directoryFd, name, bytes)?.toString("hex") ?? ""]);
	}
	return found.length === 0 ? undefined : Object.fromEntries(found.sort());
}

function typeOf(stat: linux.Stat): NodeSnapshot["type"] {
	if (linux.isRegular(stat)) return "file";
	if (linux.isDirectory(stat)) return "directory";
	if (linux.isSymlink(stat)) return "symlink";
	if (linux.isCharacter(stat)) return "character";
	if (linux.isBlock(stat)) return "block";
	return linux.isFifo(stat) ? "fifo" : "socket";
}
