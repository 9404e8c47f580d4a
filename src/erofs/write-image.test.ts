import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import { type ErrorCode, isLamellaError } from "../errors/index.ts";
import {
	encodeDevice,
	FileTree,
	type ImageDevice,
	type ImageInode,
	readDevices,
	readImage,
	writeImage,
} from "./index.ts";
import { S_IFDIR, S_IFLNK, S_IFREG } from "./inode-table.ts";
import { Random } from "./testing/random.ts";

const ONE: readonly ImageDevice[] = [{ tag: "one", sizeBytes: 1 << 20 }];

interface Made {
	readonly entry: number;
	readonly inode: number;
}

function make(
	tree: FileTree,
	name: string,
	mode: number = S_IFREG | 0o644,
	directory: number = tree.root,
): Made {
	const inode = tree.newInode();
	tree.inodes.setMode(inode, mode);
	const bytes = Buffer.from(name);
	return { entry: tree.insert(directory, bytes, 0, bytes.length, inode), inode };
}

function setTarget(tree: FileTree, inode: number, target: string): void {
	const bytes = Buffer.from(target);
	tree.inodes.setTarget(inode, tree.inodes.addTarget(bytes, 0, bytes.length));
}

const xattr = (name: string, value: string | Buffer) => ({
	name: Buffer.from(name),
	value: Buffer.from(value),
});

function inodesOf(image: Uint8Array): Map<string, ImageInode> {
	return new Map([...readImage(image)].map(({ name, inode }) => [Buffer.from(name).toString(), inode]));
}

function refusal(
	tree: FileTree,
	devices: readonly ImageDevice[] = ONE,
): { code: ErrorCode; path: string | undefined } {
	try {
		writeImage(tree, { devices });
	} catch (error) {
		if (isLamellaError(error)) return { code: error.code, path: error.path };
		throw error;
	}
	throw new Error("it was taken");
}

describe("an image", () => {
	test("is the same for the same tree, in whatever order it was filled", () => {
		const names = Array.from({ length: 500 }, (_, n) => `name-${(n * 7919) % 100_003}`);
		const random = new Random(1);
		const images = [0, 1, 2].map(() => {
			const tree = new FileTree();
			const shuffled = names.map((name) => ({ name, at: random.below(1e9) })).sort((a, b) => a.at - b.at);
			for (const { name } of shuffled) {
				const { entry, inode } = make(tree, name, name.endsWith("1") ? S_IFDIR | 0o755 : S_IFREG | 0o600);
				tree.inodes.setMtime(inode, name.length, name.charCodeAt(5));
				tree.inodes.setXattrs(inode, tree.internXattrs([xattr("user.name", name.slice(0, 7))]));
				if (tree.isDirectory(entry)) make(tree, "gone", S_IFREG, entry);
				else tree.insert(tree.root, Buffer.from(`${name}-link`), 0, name.length + 5, inode);
				if (random.once(3)) tree.remove(make(tree, "away").entry);
			}
			return Buffer.from(writeImage(tree, { devices: ONE }));
		});
		expect(images[1]?.equals(images[0] ?? Buffer.alloc(0))).toBe(true);
		expect(images[2]?.equals(images[0] ?? Buffer.alloc(0))).toBe(true);
	});

	test("of nothing is a root directory in three blocks", () => {
		const image = writeImage(new FileTree(), { devices: [] });
		expect(image.length).toBe(3 * 512);
		expect([...readImage(image)].map(({ inode }) => [inode.mode, inode.links])).toEqual([[0o40755, 2]]);
		expect(readDevices(image, image.length)).toEqual([]);
	});

	test("takes half the room where most inodes have one mtime and small owners", () => {
		const sizeOf = (step: number): number => {
			const tree = new FileTree();
			for (let n = 0; n < 10_000; n++) tree.inodes.setMtime(make(tree, `f${n}`).inode, 1e9 + n * step, 5);
			return writeImage(tree, { devices: [] }).length;
		};
		expect(sizeOf(1) - sizeOf(0)).toBeGreaterThan(10_000 * 31);
	});

	test("has a set of xattrs once, however many files have it", () => {
		const bytesAFile = (count: number): number => {
			const tree = new FileTree();
			for (let n = 0; n < count; n++) {
				const set = tree.internXattrs([xattr("security.label", "x".repeat(200)), xattr("user.a", "b")]);
				tree.inodes.setXattrs(make(tree, `f${n}`).inode, set);
			}
			return writeImage(tree, { devices: [] }).length / count;
		};
		// An inode, a header with two ids, and a name.
		expect(bytesAFile(10_000)).toBeLessThan(32 + 32 + 20);
	});

	test("gives an inode xattrs of its own where more are shared than it can name", () => {
		const tree = new FileTree();
		const set = tree.internXattrs(Array.from({ length: 300 }, (_, n) => xattr(`user.${n}`, "v")));
		for (const name of ["a", "b"]) tree.inodes.setXattrs(make(tree, name).inode, set);
		expect(inodesOf(writeImage(tree, { devices: [] })).get("b")?.xattrs).toEqual(tree.xattrSets.get(set));
	});

	test("sorts names by bytes, with the dots among them", () => {
		const tree = new FileTree();
		const names = [
			"!",
			".",
			"-",
			".a",
			"..a",
			".-",
			"...",
			"a",
			"ab",
			"abc",
			"abcd",
			"abcde",
			"b",
			"~",
			"\u00e9",
			".",
		];
		for (const name of names) if (name !== ".") make(tree, name);
		const read = [...readImage(writeImage(tree, { devices: [] }))]
			.slice(1)
			.map(({ name }) => Buffer.from(name));
		const sorted = names.filter((name) => name !== ".").map((name) => Buffer.from(name));
		expect(read).toEqual(sorted.sort(Buffer.compare));
	});

	test("counts the links of files and directories", () => {
		const tree = new FileTree();
		const { inode } = make(tree, "a");
		for (let n = 0; n < 70_000; n++) {
			const name = Buffer.from(`link-${n}`);
			tree.insert(tree.root, name, 0, name.length, inode);
		}
		const usr = make(tree, "usr", S_IFDIR | 0o755);
		for (let n = 0; n < 70_000; n++) make(tree, `d${n}`, S_IFDIR | 0o755, usr.entry);
		const inodes = inodesOf(writeImage(tree, { devices: [] }));
		expect([inodes.get("a")?.links, inodes.get("usr")?.links, inodes.get("")?.links]).toEqual([
			70_001, 70_002, 3,
		]);
	});

	test("takes 100,000 directories, each in the one before", () => {
		const tree = new FileTree();
		let at = tree.root;
		for (let n = 0; n < 100_000; n++) at = make(tree, "d", S_IFDIR | 0o755, at).entry;
		let entries = 0;
		for (const _ of readImage(writeImage(tree, { devices: [] }))) entries++;
		expect(entries).toBe(100_001);
	});

	test("takes symbolic links up to what a path may have", () => {
		const tree = new FileTree();
		const lengths = [1, 415, 447, 448, 449, 511, 512, 513, 4095];
		for (const length of lengths)
			setTarget(tree, make(tree, `to-${length}`, S_IFLNK | 0o777).inode, "t".repeat(length));
		const inodes = inodesOf(writeImage(tree, { devices: [] }));
		expect(lengths.map((length) => inodes.get(`to-${length}`)?.target?.length)).toEqual(lengths);
	});

	test("keeps the inodes of a directory together, behind its names", () => {
		const tree = new FileTree();
		for (let d = 0; d < 20; d++) {
			const { entry } = make(tree, `dir-${d}`, S_IFDIR | 0o755);
			for (let n = 0; n < 200; n++)
				tree.inodes.setMtime(make(tree, `file-${d}-${n}`, S_IFREG, entry).inode, n, d);
		}
		const spans = Map.groupBy(
			[...readImage(writeImage(tree, { devices: [] }))].slice(21),
			({ parent }) => parent,
		);
		for (const files of spans.values()) {
			const nids = files.map(({ inode }) => inode.nid);
			// 64 bytes each; an inode or two may lie in a gap before them.
			expect(Math.max(...nids.slice(16)) - Math.min(...nids.slice(16))).toBeLessThan(2 * 200 + 16);
		}
	});
});

describe("what an image cannot hold is refused, and named", () => {
	test("content outside of its device", () => {
		for (const [sizeBytes, device, block] of [
			[1, 2, 0],
			[(1 << 20) + 1, 1, 0],
			[513, 1, 2047],
		] as const) {
			const tree = new FileTree();
			tree.inodes.setContent(make(tree, "file").inode, sizeBytes, device, block);
			expect(refusal(tree)).toEqual({ code: "EINVALID", path: "file" });
		}
	});

	test("devices of more than 2 TiB together", () => {
		const half = { tag: "half", sizeBytes: 2 ** 40 };
		const tree = new FileTree();
		expect(refusal(tree, [half, half]).code).toBe("ENOTSUPPORTED");
		const image = writeImage(tree, { devices: [half, { tag: "rest", sizeBytes: 2 ** 40 - 8192 }] });
		expect(readDevices(image, image.length)).toHaveLength(2);
	});

	test("more devices than the table has, or than leave the root within reach", () => {
		const devices = Array.from({ length: 65_536 }, (_, n) => ({ tag: `d${n}`, sizeBytes: 512 }));
		expect(refusal(new FileTree(), devices).code).toBe("ENOTSUPPORTED");
		expect(refusal(new FileTree(), devices.slice(1)).code).toBe("ENOTSUPPORTED");
		const image = writeImage(new FileTree(), { devices: devices.slice(0, 16_000) });
		expect(readDevices(image, image.length)).toHaveLength(16_000);
	});

	test("a tag that is none", () => {
		for (const tag of ["", "x".repeat(65), "a b", "a\0", "\u00e9"]) {
			expect(refusal(new FileTree(), [{ tag, sizeBytes: 0 }]).code).toBe("EINVALID");
		}
	});

	test.each([
		["a value of 64 KiB", "user.big", Buffer.alloc(65_536), "ENOTSUPPORTED"],
		["a name of 256 bytes", `user.${"x".repeat(251)}`, Buffer.alloc(1), "ENOTSUPPORTED"],
		["a prefix that EROFS has no number for", "system.richacl", Buffer.alloc(1), "ENOTSUPPORTED"],
		["a prefix alone", "user.", Buffer.alloc(1), "ENOTSUPPORTED"],
		["a name with a NUL byte", "user.a\0b", Buffer.alloc(1), "ENOTSUPPORTED"],
		["an ACL of no entries", "system.posix_acl_access", Buffer.from("02000000", "hex"), "EXATTR"],
		["an ACL cut short", "system.posix_acl_access", Buffer.from("0200000001000700", "hex"), "EXATTR"],
		[
			"an ACL without others",
			"system.posix_acl_default",
			Buffer.from("0200000001000700ffffffff", "hex"),
			"EXATTR",
		],
	])("an xattr with %s", (_, name, value, code) => {
		const tree = new FileTree();
		const { entry } = make(tree, "dir", S_IFDIR | 0o755);
		const { inode } = make(tree, "file", S_IFREG, entry);
		tree.inodes.setXattrs(inode, tree.internXattrs([xattr(name, value)]));
		expect(refusal(tree)).toEqual({ code, path: "dir/file" });
	});

	test("xattrs of more than 256 KiB together, or more than can be listed", () => {
		const many = (count: number, bytes: number) =>
			Array.from({ length: count }, (_, n) => xattr(`user.${"n".repeat(200)}${n}`, Buffer.alloc(bytes)));
		for (const [set, isTaken] of [
			[many(4, 65_000), true],
			[many(5, 65_000), false],
			[many(300, 0), true],
			[many(330, 0), false],
		] as const) {
			const tree = new FileTree();
			tree.inodes.setXattrs(make(tree, "file").inode, tree.internXattrs(set));
			if (isTaken)
				expect(inodesOf(writeImage(tree, { devices: ONE })).get("file")?.xattrs).toEqual(
					tree.xattrSets.get(0),
				);
			else expect(refusal(tree)).toEqual({ code: "ENOTSUPPORTED", path: "file" });
		}
	});

	test("a symbolic link to nothing, to a NUL byte, or of more than 4095 bytes", () => {
		for (const [target, code] of [
			["", "EINVALID"],
			["a\0b", "EINVALID"],
			["x".repeat(4096), "ENOTSUPPORTED"],
		] as const) {
			const tree = new FileTree();
			setTarget(tree, make(tree, "link", S_IFLNK | 0o777).inode, target);
			expect(refusal(tree)).toEqual({ code, path: "link" });
		}
	});

	test("a directory with two names, or entries below what is no directory any more", () => {
		const two = new FileTree();
		const { inode } = make(two, "dir", S_IFDIR);
		two.insert(two.root, Buffer.from("x"), 0, 1, inode);
		expect(refusal(two).code).toBe("EINVALID");
		const below = new FileTree();
		const directory = make(below, "dir", S_IFDIR);
		make(below, "file", S_IFREG, directory.entry);
		below.inodes.setMode(directory.inode, S_IFREG);
		expect(refusal(below)).toEqual({ code: "EINVALID", path: "dir" });
	});
});

test("a device number is the kernel's new_encode_dev", () => {
	expect(encodeDevice(1, 3)).toBe(0x103);
	expect(encodeDevice(4095, 1_048_575)).toBe(0xffffffff);
	expect(encodeDevice(8, 256)).toBe(0x100800);
});
