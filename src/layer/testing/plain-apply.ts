/**
 * For tests: applies a layer tar to a plain tree in the most literal way, member by member by path, so that what
 * diff writes can be checked without the real thing. It trusts the tar: names are not checked at all.
 */
import * as linux from "../../linux/index.ts";
import { type TarEntry, TarReader } from "../../tar/index.ts";
import { removeEntry } from "../tree/remove.ts";

const CWD = linux.AT_FDCWD;
const OPAQUE = ".wh..wh..opq";
const WHITEOUT = ".wh.";

/** The members of a tar with their content: what was read, by offset. */
interface Member {
	readonly entry: TarEntry;
	readonly pieces: { readonly offset: number; readonly bytes: Buffer }[];
}

export function readMembers(tar: Buffer): Member[] {
	const members: Member[] = [];
	const reader = new TarReader({
		entry: (entry) => members.push({ entry, pieces: [] }),
		data: (bytes, offset) => members.at(-1)?.pieces.push({ offset, bytes: Buffer.from(bytes) }),
		entryEnd: () => undefined,
	});
	reader.write(tar);
	reader.end();
	return members;
}

export function applyPlainly(tar: Buffer, root: string): void {
	const directories: { readonly path: Buffer; readonly entry: TarEntry }[] = [];
	const touched: { readonly path: Buffer; readonly stat: linux.Stat }[] = [];
	for (const { entry, pieces } of readMembers(tar)) {
		const text = entry.path.toString("latin1").replace(/\/$/, "");
		const name = text.slice(text.lastIndexOf("/") + 1);
		const path = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(text, "latin1")]);
		const parent = path.subarray(0, path.lastIndexOf("/"));
		// Times of a directory change with each child that is made; a layer that says nothing of it leaves it alone.
		if (name !== ".") touched.push({ path: parent, stat: linux.fstatat(CWD, parent) });
		if (name === OPAQUE) for (const child of names(parent)) remove(parent, child);
		else if (name.startsWith(WHITEOUT)) remove(parent, Buffer.from(name.slice(WHITEOUT.length), "latin1"));
		else if (entry.type === "directory") {
			const existing = linux.tryFstatat(CWD, path);
			if (existing !== undefined && !linux.isDirectory(existing)) remove(parent, Buffer.from(name, "latin1"));
			if (existing === undefined || !linux.isDirectory(existing)) linux.mkdirat(CWD, path, 0o700);
			directories.push({ path, entry });
		} else {
			remove(parent, Buffer.from(name, "latin1"));
			makeLeaf(root, path, entry, pieces);
		}
	}
	for (const { path, stat } of touched.reverse()) {
		const now = linux.tryFstatat(CWD, path);
		if (now?.ino === stat.ino) linux.utimensat(CWD, path, stat.atimeNs, stat.mtimeNs);
	}
	for (const { path, entry } of directories.reverse()) setMetadata(path, entry);
}

function makeLeaf(root: string, path: Buffer, entry: TarEntry, pieces: Member["pieces"]): void {
	const device = (format: number): void =>
		linux.mknodat(CWD, path, format | 0o600, entry.deviceMajor, entry.deviceMinor);
	if (entry.type === "hardlink") {
		linux.linkat(CWD, Buffer.concat([Buffer.from(`${root}/`), entry.linkPath]), CWD, path);
		return;
	}
	if (entry.type === "file") {
		const fd = linux.openat(CWD, path, linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL, 0o600);
		for (const { offset, bytes } of pieces) linux.pwrite(fd, bytes, 0, bytes.length, offset);
		linux.ftruncate(fd, entry.sizeBytes);
		linux.close(fd);
	} else if (entry.type === "symlink") linux.symlinkat(entry.linkPath, CWD, path);
	else if (entry.type === "fifo") device(linux.S_IFIFO);
	else device(entry.type === "block" ? linux.S_IFBLK : linux.S_IFCHR);
	setMetadata(path, entry);
}

function setMetadata(path: Buffer, entry: TarEntry): void {
	linux.fchownat(CWD, path, entry.uid, entry.gid);
	for (const name of linux.llistxattrAt(CWD, path)) linux.lremovexattrAt(CWD, path, name);
	for (const { name, value } of entry.xattrs) linux.lsetxattrAt(CWD, path, name, value);
	if (entry.type !== "symlink") linux.fchmodat(CWD, path, entry.mode);
	linux.utimensat(CWD, path, entry.mtimeNs, entry.mtimeNs);
}

function names(directory: Buffer): Buffer[] {
	const fd = linux.openat(CWD, directory, linux.O_RDONLY | linux.O_DIRECTORY);
	const found = linux.readDirectory(fd).map(({ name }) => name);
	linux.close(fd);
	return found;
}

function remove(directory: Buffer, name: Buffer): void {
	const fd = linux.openat(CWD, directory, linux.O_RDONLY | linux.O_DIRECTORY);
	removeEntry(fd, name);
	linux.close(fd);
}
