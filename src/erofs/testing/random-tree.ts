/**
 * Random trees of all kinds for tests of the writer, with what is to be read back: every type, names of any bytes,
 * hard links, xattrs, far times, deep and wide directories.
 */
import { Buffer } from "node:buffer";
import { encodeDevice, FileTree, type ImageDevice, type ImageInode, type Xattr } from "../index.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../inode-table.ts";
import { Random } from "./random.ts";

/** What stat(2) and others should say of one path. */
export interface ExpectedFile extends Omit<ImageInode, "nid" | "sizeBytes" | "target"> {
	/** Of a regular file. */
	readonly content: Buffer;
	readonly target: Buffer | undefined;
	/** Paths with the same number are one inode. */
	readonly inode: number;
}

export interface RandomTree {
	readonly tree: FileTree;
	readonly devices: readonly ImageDevice[];
	/** The content of each device. */
	readonly contents: readonly Buffer[];
	/** By path in latin1, the root's is empty. */
	readonly expected: ReadonlyMap<string, ExpectedFile>;
}

type Shape = "mixed" | "wide" | "deep" | "links" | "alike" | "xattrs";
const SHAPES: readonly Shape[] = ["mixed", "wide", "deep", "links", "alike", "xattrs"];
const PATH_BYTES_MAX = 3500;

export function makeRandomTree(seed: number): RandomTree {
	return new TreeMaker(seed).make();
}

interface Inode extends Omit<ExpectedFile, "links"> {
	links: number;
}

class TreeMaker {
	readonly #random: Random;
	readonly #shape: Shape;
	readonly #tree = new FileTree();
	readonly #contents: Buffer[] = [];
	readonly #inodes = new Map<number, Inode>();
	readonly #paths = new Map<string, number>();
	readonly #directories: { entry: number; path: string }[] = [];
	readonly #linkable: number[] = [];
	readonly #commonXattrs: (readonly Xattr[])[] = [];

	constructor(seed: number) {
		this.#random = new Random(seed);
		this.#shape = SHAPES[seed % SHAPES.length] ?? "mixed";
	}

	make(): RandomTree {
		const random = this.#random;
		for (let n = random.below(5); n > 0; n--) this.#contents.push(random.bytes(512 * (1 + random.below(60))));
		for (let n = 0; n < 3; n++) this.#commonXattrs.push(this.#makeXattrs(S_IFREG));
		const root = this.#makeInode(S_IFDIR);
		this.#tree.replaceInode(this.#tree.root, root);
		this.#paths.set("", root);
		this.#directories.push({ entry: this.#tree.root, path: "" });
		const count = { mixed: 300, wide: 2500, deep: 500, links: 300, alike: 400, xattrs: 120 }[this.#shape];
		for (let n = random.below(count) + 1; n > 0; n--) this.#addEntry();
		this.#removeSome();
		return {
			tree: this.#tree,
			devices: this.#contents.map((content, n) => ({ tag: `device-${n}`, sizeBytes: content.length })),
			contents: this.#contents,
			expected: this.#expect(),
		};
	}

	#expect(): Map<string, ExpectedFile> {
		for (const [path, number] of this.#paths) {
			const inode = this.#inode(number);
			if ((inode.mode & S_IFMT) !== S_IFDIR) inode.links++;
			else {
				inode.links += 2;
				if (path !== "") this.#inode(this.#paths.get(parentOf(path)) ?? -1).links++;
			}
		}
		return new Map([...this.#paths].map(([path, number]) => [path, this.#inode(number)]));
	}

	#inode(number: number): Inode {
		const inode = this.#inodes.get(number);
		if (inode === undefined) throw new Error(`no inode ${number}`);
		return inode;
	}

	#addEntry(): void {
		const random = this.#random;
		const isDeep = this.#shape === "deep" && !random.once(4);
		const last = this.#directories.at(-1);
		const directory = isDeep && last !== undefined ? last : random.pick(this.#directories);
		const name = this.#makeName(isDeep);
		const path =
			directory.path === "" ? name.toString("latin1") : `${directory.path}/${name.toString("latin1")}`;
		if (path.length > PATH_BYTES_MAX || this.#paths.has(path)) return;
		const isLink = this.#linkable.length > 0 && random.once(this.#shape === "links" ? 2 : 15);
		const inode = isLink ? random.pick(this.#linkable) : this.#makeInode(isDeep ? S_IFDIR : this.#makeType());
		const padded = Buffer.concat([Buffer.from("<"), name, Buffer.from(">")]);
		const entry = this.#tree.insert(directory.entry, padded, 1, padded.length - 1, inode);
		this.#paths.set(path, inode);
		if ((this.#inode(inode).mode & S_IFMT) === S_IFDIR) this.#directories.push({ entry, path });
		else if (!isLink) this.#linkable.push(inode);
	}

	/** So that images are also made of trees that once had more. */
	#removeSome(): void {
		for (let n = this.#random.below(4); n > 0; n--) {
			const path = this.#random.pick([...this.#paths.keys()]);
			if (path === "") continue;
			let entry = this.#tree.root;
			for (const name of path.split("/")) {
				const bytes = Buffer.from(name, "latin1");
				entry = this.#tree.lookup(entry, bytes, 0, bytes.length);
			}
			this.#tree.remove(entry);
			for (const other of [...this.#paths.keys()]) {
				if (other === path || other.startsWith(`${path}/`)) this.#paths.delete(other);
			}
		}
	}

	#makeType(): number {
		const usual =
			this.#shape === "wide" ? [S_IFREG, S_IFREG, S_IFREG, S_IFREG, S_IFREG] : [S_IFREG, S_IFREG, S_IFDIR];
		return this.#random.pick([...usual, S_IFREG, S_IFLNK, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK]);
	}

	#makeName(isShort: boolean): Buffer {
		const random = this.#random;
		if (isShort) return Buffer.from(random.pick(["d", "dd", "e", ".d"]));
		if (random.once(3)) return Buffer.from(`file-with-a-number-${random.below(5000)}`);
		if (random.once(12))
			return Buffer.from(random.pick(["...", ".a", "-", "!", "..a", "a.", "~", ".\x01", " "]));
		const length = random.once(10) ? 255 : 1 + random.below(random.once(4) ? 255 : 12);
		const name = random.bytes(length).map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte));
		const text = Buffer.from(name);
		return text.equals(Buffer.from(".")) || text.equals(Buffer.from("..")) ? Buffer.from("dots") : text;
	}

	#makeInode(type: number): number {
		const random = this.#random;
		const { inodes } = this.#tree;
		const number = this.#tree.newInode();
		const mode = type | (type === S_IFLNK ? 0o777 : random.below(0o10000));
		const isAlike = this.#shape === "alike" && !random.once(5);
		const ids = isAlike ? [0, 1000, 65_535] : [0, 1000, 65_535, 65_536, 2 ** 32 - 2];
		const times = [0, 1, -1, 1_700_000_000, -(2 ** 40), 2 ** 33, 2 ** 31, random.below(2 ** 31)];
		let content: Buffer = Buffer.alloc(0);
		let device = 0;
		let block = 0;
		if (type === S_IFREG && this.#contents.length > 0 && !random.once(5)) {
			device = 1 + random.below(this.#contents.length);
			const all = this.#contents[device - 1] ?? content;
			block = random.below(all.length / 512);
			content = all.subarray(block * 512, block * 512 + random.below(all.length - block * 512 + 1));
			if (content.length === 0) device = block = 0;
		}
		const inode: Inode = {
			mode,
			uid: random.pick(ids),
			gid: random.pick(ids),
			links: 0,
			mtimeSeconds: isAlike ? 1_600_000_000 : random.pick(times),
			mtimeNanoseconds: isAlike ? 7 : random.pick([0, 1, 999_999_999, random.below(1e9)]),
			rdev:
				type === S_IFCHR || type === S_IFBLK
					? encodeDevice(random.pick([0, 1, 255, 4095]), random.pick([0, 1, 255, 256, 1_048_575]))
					: 0,
			content,
			device,
			deviceOffsetBytes: block * 512,
			xattrs: this.#pickXattrs(type),
			target: type === S_IFLNK ? this.#makeTarget() : undefined,
			inode: number,
		};
		inodes.setMode(number, mode);
		inodes.setOwner(number, inode.uid, inode.gid);
		inodes.setMtime(number, inode.mtimeSeconds, inode.mtimeNanoseconds);
		inodes.setContent(number, content.length, device, block);
		inodes.setRdev(number, inode.rdev);
		if (inode.xattrs.length > 0)
			inodes.setXattrs(number, this.#tree.internXattrs([...inode.xattrs].reverse()));
		if (inode.target !== undefined) {
			inodes.setTarget(number, inodes.addTarget(inode.target, 0, inode.target.length));
		}
		this.#inodes.set(number, inode);
		return number;
	}

	#makeTarget(): Buffer {
		const random = this.#random;
		const length = random.once(6) ? 4095 - random.below(4000) : 1 + random.below(random.once(3) ? 600 : 40);
		return Buffer.from(random.bytes(length).map((byte) => (byte === 0 ? 0x62 : byte)));
	}

	#pickXattrs(type: number): readonly Xattr[] {
		const random = this.#random;
		if (!random.once(this.#shape === "xattrs" ? 1 : 4)) return [];
		if ((type === S_IFREG || type === S_IFDIR) && !random.once(3)) return random.pick(this.#commonXattrs);
		return this.#makeXattrs(type);
	}

	#makeXattrs(type: number): readonly Xattr[] {
		const random = this.#random;
		const xattrs = new Map<string, Buffer>();
		// Linux keeps user.* from links and special files.
		const hasUser = type === S_IFREG || type === S_IFDIR;
		let left = 150_000;
		const most = this.#shape === "xattrs" && random.once(10) ? 300 : 4;
		for (let n = 1 + random.below(most); n > 0; n--) {
			const prefix = random.pick(hasUser ? ["user.", "trusted.", "security."] : ["trusted.", "security."]);
			const suffix = random.pick(["overlay.opaque", "a", "x".repeat(240), `n${random.below(1000)}`]);
			const length = Math.min(left, random.once(200) ? 65_535 : random.below(random.once(5) ? 2000 : 30));
			left -= length;
			xattrs.set(`${prefix}${suffix}`, random.bytes(length));
		}
		if (type === S_IFREG && random.once(3)) xattrs.set("security.capability", CAPABILITY);
		if (type !== S_IFLNK && random.once(3)) xattrs.set("system.posix_acl_access", ACL);
		if (type === S_IFDIR && random.once(3)) xattrs.set("system.posix_acl_default", ACL);
		return [...xattrs]
			.map(([name, value]) => ({ name: Buffer.from(name), value }))
			.sort((a, b) => Buffer.compare(a.name, b.name));
	}
}

/** cap_net_raw+ep, revision 2. */
const CAPABILITY = Buffer.from("0100000200200000000000000000000000000000", "hex");
/** user::rwx, user:1000:r--, group::r-x, mask::rwx, other::r-- */
const ACL = Buffer.from(
	"02000000" +
		"01000700ffffffff" +
		"02000400e8030000" +
		"04000500ffffffff" +
		"10000700ffffffff" +
		"20000400ffffffff",
	"hex",
);

function parentOf(path: string): string {
	return path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
}
