import { describe, expect, test } from "vitest";
import { encodeDevice, FileTree, NONE } from "./index.ts";
import { S_IFDIR, S_IFREG } from "./inode-table.ts";
import { codeOf } from "./testing/code-of.ts";

function make(tree: FileTree, directory: number, name: string | Uint8Array, mode: number = S_IFREG): number {
	const inode = tree.newInode();
	tree.inodes.setMode(inode, mode | 0o644);
	const bytes = Buffer.from(name);
	return tree.insert(directory, bytes, 0, bytes.length, inode);
}

function find(tree: FileTree, directory: number, name: string): number {
	const bytes = Buffer.from(`<${name}>`);
	return tree.lookup(directory, bytes, 1, bytes.length - 1);
}

function children(tree: FileTree, directory: number): string[] {
	const names: string[] = [];
	for (let at = tree.firstChild(directory); at !== NONE; at = tree.nextSibling(at)) {
		names.push(Buffer.from(tree.nameOf(at)).toString());
	}
	return names.sort();
}

describe("a tree", () => {
	test("has a root directory of mode 0755, of root, at time 0", () => {
		const tree = new FileTree();
		const inode = tree.inodeOf(tree.root);
		expect(tree.inodes.modeOf(inode)).toBe(0o40755);
		expect([tree.inodes.uidOf(inode), tree.inodes.mtimeSecondsOf(inode)]).toEqual([0, 0]);
		expect([tree.entryCount, tree.inodeCount, tree.isDirectory(tree.root)]).toEqual([1, 1, true]);
	});

	test("finds a name only in its own directory", () => {
		const tree = new FileTree();
		const usr = make(tree, tree.root, "usr", S_IFDIR);
		const bin = make(tree, usr, "bin", S_IFDIR);
		expect(find(tree, tree.root, "usr")).toBe(usr);
		expect(find(tree, usr, "bin")).toBe(bin);
		expect(find(tree, tree.root, "bin")).toBe(NONE);
		expect(find(tree, usr, "bi")).toBe(NONE);
		expect(tree.parentOf(bin)).toBe(usr);
		expect(tree.pathOf(bin)).toBe("usr/bin");
	});

	test("takes two names for one inode", () => {
		const tree = new FileTree();
		const first = make(tree, tree.root, "a");
		const name = Buffer.from("b");
		const second = tree.insert(tree.root, name, 0, 1, tree.inodeOf(first));
		expect(tree.linksOf(tree.inodeOf(first))).toBe(2);
		tree.remove(first);
		expect(tree.linksOf(tree.inodeOf(second))).toBe(1);
		expect(find(tree, tree.root, "a")).toBe(NONE);
		expect(find(tree, tree.root, "b")).toBe(second);
	});

	test("loses all that is below a directory with it", () => {
		const tree = new FileTree();
		const usr = make(tree, tree.root, "usr", S_IFDIR);
		const lib = make(tree, usr, "lib", S_IFDIR);
		make(tree, lib, "a");
		make(tree, lib, "b");
		make(tree, tree.root, "etc", S_IFDIR);
		tree.remove(usr);
		expect(children(tree, tree.root)).toEqual(["etc"]);
		expect(tree.entryCount).toBe(2);
		const again = make(tree, tree.root, "usr", S_IFDIR);
		expect(children(tree, again)).toEqual([]);
	});

	test("keeps what is below a directory that becomes another directory, and drops it below a file", () => {
		const tree = new FileTree();
		const usr = make(tree, tree.root, "usr", S_IFDIR);
		make(tree, usr, "a");
		const directory = tree.newInode();
		tree.inodes.setMode(directory, S_IFDIR | 0o700);
		tree.replaceInode(usr, directory);
		expect(children(tree, usr)).toEqual(["a"]);
		tree.replaceInode(usr, tree.newInode());
		expect(children(tree, usr)).toEqual([]);
		expect(tree.entryCount).toBe(2);
		expect(tree.linksOf(directory)).toBe(0);
	});

	test("says the same as a map of paths after random inserts, lookups and removals", () => {
		const tree = new FileTree();
		const directories = [tree.root];
		for (let n = 0; n < 40; n++) directories.push(make(tree, tree.root, `dir${n}`, S_IFDIR));
		const model = new Map<string, number>();
		let state = 12345;
		const random = (below: number): number => {
			state = (Math.imul(state, 1103515245) + 12345) >>> 0;
			return (state >>> 8) % below;
		};
		for (let n = 0; n < 60_000; n++) {
			const directory = directories[random(directories.length)] ?? tree.root;
			const name = `n${random(120)}`;
			const key = `${directory}/${name}`;
			const known = model.get(key);
			expect(find(tree, directory, name)).toBe(known ?? NONE);
			if (known === undefined) model.set(key, make(tree, directory, name));
			else if (random(3) > 0) {
				tree.remove(known);
				model.delete(key);
			}
		}
		expect(tree.entryCount).toBe(1 + 40 + model.size);
		for (const directory of directories) {
			const expected = [...model.keys()].filter((key) => key.startsWith(`${directory}/`));
			const own = children(tree, directory).filter((name) => !name.startsWith("dir"));
			expect(own).toEqual(expected.map((key) => key.slice(key.indexOf("/") + 1)).sort());
		}
	});

	test.each([0, 1, 30, 5000])("takes 5,000 entries where it was made for %i", (expected) => {
		const tree = new FileTree(expected);
		for (let n = 0; n < 5000; n++) make(tree, tree.root, `n${n}`);
		expect(find(tree, tree.root, "n4999")).toBe(5000);
		expect([tree.entryCount, tree.inodeCount, tree.linksOf(5000)]).toEqual([5001, 5001, 1]);
	});

	test("takes and removes 100,000 directories, each in the one before", () => {
		const tree = new FileTree();
		let at = tree.root;
		for (let n = 0; n < 100_000; n++) at = make(tree, at, "d", S_IFDIR);
		expect(tree.entryCount).toBe(100_001);
		tree.remove(tree.firstChild(tree.root));
		expect(tree.entryCount).toBe(1);
	});

	test("takes names of any bytes, up to 255 of them", () => {
		const tree = new FileTree();
		const name = Uint8Array.from({ length: 255 }, (_, n) => (n === 46 ? 255 : n + 1));
		const entry = make(tree, tree.root, name);
		expect(Buffer.compare(tree.nameOf(entry), name)).toBe(0);
		expect(tree.lookup(tree.root, name, 0, 255)).toBe(entry);
		expect(tree.lookup(tree.root, name, 0, 254)).toBe(NONE);
	});

	test.each([
		["", "EINVALID"],
		[".", "EINVALID"],
		["..", "EINVALID"],
		["a/b", "EINVALID"],
		["a\0b", "EINVALID"],
		["x".repeat(256), "ENOTSUPPORTED"],
		["taken", "EEXISTS"],
	])("refuses the name %j with %s", (name, code) => {
		const tree = new FileTree();
		make(tree, tree.root, "taken");
		expect(codeOf(() => make(tree, tree.root, name))).toBe(code);
		expect(children(tree, tree.root)).toEqual(["taken"]);
	});

	test("refuses an entry below a file, and names it", () => {
		const tree = new FileTree();
		const file = make(tree, tree.root, "file");
		expect(() => make(tree, file, "x")).toThrow('"file/x" cannot be an entry');
	});
});

describe("attributes", () => {
	test("are kept as they were set, for every inode, however many there are", () => {
		const tree = new FileTree();
		const { inodes } = tree;
		for (let n = 1; n < 5000; n++) {
			const inode = tree.newInode();
			inodes.setOwner(inode, 2 ** 32 - 2 - n, n);
			inodes.setMtime(inode, -n * 2 ** 20, n);
			inodes.setContent(inode, n * 2 ** 28, n, 2 ** 32 - n);
			inodes.setRdev(inode, encodeDevice(n % 4096, n * 200));
			inodes.setXattrs(inode, n);
			const target = Buffer.from(`to ${n}`);
			inodes.setTarget(inode, inodes.addTarget(target, 3, target.length));
		}
		for (let n = 1; n < 5000; n++) {
			expect([inodes.uidOf(n), inodes.gidOf(n)]).toEqual([2 ** 32 - 2 - n, n]);
			expect([inodes.mtimeSecondsOf(n), inodes.mtimeNanosecondsOf(n)]).toEqual([-n * 2 ** 20, n]);
			expect([inodes.sizeBytesOf(n), inodes.deviceOf(n)]).toEqual([n * 2 ** 28, n]);
			expect([inodes.deviceBlockOf(n), inodes.xattrsOf(n)]).toEqual([2 ** 32 - n, n]);
			expect(Buffer.from(inodes.target(inodes.targetOf(n))).toString()).toBe(String(n));
		}
		expect([inodes.xattrsOf(0), inodes.targetOf(0)]).toEqual([NONE, NONE]);
	});

	test("that Linux has no number for are refused, not wrapped", () => {
		const { inodes } = new FileTree();
		expect(codeOf(() => inodes.setOwner(0, 2 ** 32 - 1, 0))).toBe("EINVALID");
		expect(codeOf(() => inodes.setOwner(0, 0, -1))).toBe("EINVALID");
		expect(codeOf(() => inodes.setMtime(0, 0.5, 0))).toBe("EINVALID");
		expect(codeOf(() => inodes.setMtime(0, 0, 1e9))).toBe("EINVALID");
		expect(codeOf(() => inodes.setContent(0, 5, 0, 0))).toBe("EINVALID");
		expect(codeOf(() => inodes.setContent(0, 5, 65536, 0))).toBe("EINVALID");
		expect(codeOf(() => inodes.setContent(0, 5, 1, 2 ** 32))).toBe("EINVALID");
		expect(codeOf(() => inodes.setMode(0, 0o644))).toBe("EINVALID");
		expect(codeOf(() => encodeDevice(4096, 0))).toBe("EINVALID");
	});
});

describe("sets of xattrs", () => {
	const xattr = (name: string, value: string) => ({ name: Buffer.from(name), value: Buffer.from(value) });

	test("that are equal have one id, whatever their order", () => {
		const tree = new FileTree();
		const one = tree.internXattrs([xattr("user.a", "1"), xattr("user.b", "2")]);
		expect(tree.internXattrs([xattr("user.b", "2"), xattr("user.a", "1")])).toBe(one);
		expect(tree.internXattrs([xattr("user.a", "12"), xattr("user.b", "")])).not.toBe(one);
		expect(tree.internXattrs([xattr("user.a", "1")])).not.toBe(one);
		expect(tree.xattrSets.get(one).map(({ name }) => Buffer.from(name).toString())).toEqual([
			"user.a",
			"user.b",
		]);
	});

	test("have a name once", () => {
		const tree = new FileTree();
		expect(codeOf(() => tree.internXattrs([xattr("user.a", "1"), xattr("user.a", "2")]))).toBe("EINVALID");
	});
});
