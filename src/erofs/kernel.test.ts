/** What the kernel, fsck.erofs and dump.erofs make of images. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFilesystem, type TestFilesystem } from "../../test/support/filesystems.ts";
import { mountImage, readMounted } from "../../test/support/mounted-erofs.ts";
import { run } from "../../test/support/processes.ts";
import * as linux from "../linux/index.ts";
import { FileTree, writeImage } from "./index.ts";
import { S_IFDIR, S_IFREG } from "./inode-table.ts";
import { makeRandomTree } from "./testing/random-tree.ts";
import { differences } from "./testing/read-tree.ts";

const IS_LONG = process.env.LAMELLA_TEST_LONG === "1";
const SEEDS = IS_LONG ? 1000 : 40;
const TIMEOUT_MS = IS_LONG ? 3_600_000 : 60_000;

/** Before 1.8, erofs-utils do not know blocks of 512 bytes. */
function hasErofsUtils(): boolean {
	const version = spawnSync("fsck.erofs", ["-V"], { encoding: "utf8" }).stdout ?? "";
	const [, major = 0, minor = 0] = /(\d+)\.(\d+)/.exec(version) ?? [];
	return Number(major) > 1 || Number(minor) >= 8;
}

let filesystem: TestFilesystem;

beforeAll(() => {
	filesystem = makeFilesystem("ext4", 256 << 20);
});
afterAll(() => filesystem[Symbol.dispose]());

describe("the kernel", () => {
	test(
		`says the same of every file as the tree, for ${SEEDS} random trees`,
		() => {
			for (let seed = 0; seed < SEEDS; seed++) {
				const { contents, devices, expected, tree } = makeRandomTree(seed);
				using mounted = mountImage(filesystem.path, writeImage(tree, { devices }), contents);
				const found = differences(readMounted(mounted.path, expected), expected);
				expect({ seed, differences: found }).toEqual({ seed, differences: [] });
			}
		},
		TIMEOUT_MS,
	);

	test("finds each of 100,000 names in one directory, and no other", () => {
		const tree = new FileTree();
		const names = Array.from({ length: 100_000 }, (_, n) => `${n % 7}-name-${(n * 7919) % 100_003}`);
		for (const name of names) {
			const bytes = Buffer.from(name);
			tree.insert(tree.root, bytes, 0, bytes.length, tree.newInode());
		}
		using mounted = mountImage(filesystem.path, writeImage(tree, { devices: [] }), []);
		const fd = linux.openat(linux.AT_FDCWD, mounted.path, linux.O_RDONLY | linux.O_DIRECTORY);
		try {
			expect(linux.readDirectory(fd).map(({ name }) => name.toString())).toEqual([...names].sort());
			for (const name of names) {
				expect(linux.tryFstatat(fd, name)).toBeDefined();
				expect(linux.tryFstatat(fd, `${name}x`)).toBeUndefined();
			}
		} finally {
			linux.close(fd);
		}
	});

	test("walks down 20,000 directories, each in the one before", () => {
		const tree = new FileTree();
		const name = Buffer.from("d");
		for (let n = 0, at = tree.root; n < 20_000; n++) {
			const inode = tree.newInode();
			tree.inodes.setMode(inode, S_IFDIR | 0o755);
			at = tree.insert(at, name, 0, 1, inode);
		}
		using mounted = mountImage(filesystem.path, writeImage(tree, { devices: [] }), []);
		let fd = linux.openat(linux.AT_FDCWD, mounted.path, linux.O_RDONLY | linux.O_DIRECTORY);
		for (let n = 0; n < 20_000; n++) {
			const next = linux.openat(fd, name, linux.O_RDONLY | linux.O_DIRECTORY);
			linux.close(fd);
			fd = next;
		}
		expect(linux.readDirectory(fd)).toEqual([]);
		linux.close(fd);
	});

	test("reads the last file of a device to its end, also where half a block follows", () => {
		const tree = new FileTree();
		const inode = tree.newInode();
		tree.inodes.setContent(inode, 700, 1, 2);
		const name = Buffer.from("file");
		tree.insert(tree.root, name, 0, name.length, inode);
		const content = Buffer.alloc(4 * 512 + 5, "x");
		const image = writeImage(tree, { devices: [{ tag: "odd", sizeBytes: content.length }] });
		using mounted = mountImage(filesystem.path, image, [content]);
		expect(readFileSync(path.join(mounted.path, "file"), "utf8")).toBe("x".repeat(700));
	});

	test("takes an image of 200 devices, also where most are empty", () => {
		const tree = new FileTree();
		const contents = Array.from({ length: 200 }, (_, n) => Buffer.alloc(n % 3 === 0 ? 0 : 512, `${n},`));
		for (let n = 0; n < contents.length; n++) {
			if (n % 3 === 0) continue;
			const inode = tree.newInode();
			tree.inodes.setContent(inode, 512, n + 1, 0);
			const name = Buffer.from(String(n));
			tree.insert(tree.root, name, 0, name.length, inode);
		}
		const devices = contents.map(({ length }, n) => ({ tag: `d${n}`, sizeBytes: length }));
		using mounted = mountImage(filesystem.path, writeImage(tree, { devices }), contents);
		for (let n = 0; n < contents.length; n++) {
			if (n % 3 !== 0) expect(readFileSync(path.join(mounted.path, String(n)))).toEqual(contents[n]);
		}
	});

	test("refuses one device too few", () => {
		const image = writeImage(new FileTree(), {
			devices: [
				{ tag: "one", sizeBytes: 512 },
				{ tag: "two", sizeBytes: 512 },
			],
		});
		expect(() => mountImage(filesystem.path, image, [Buffer.alloc(512)])).toThrow("fsconfig");
	});
});

describe.skipIf(!hasErofsUtils())("erofs-utils (1.8 or later)", () => {
	test(
		`fsck.erofs finds nothing wrong with ${SEEDS} random trees`,
		() => {
			for (let seed = 0; seed < SEEDS; seed++) {
				const { contents, devices, tree } = makeRandomTree(seed);
				using mounted = mountImage(filesystem.path, writeImage(tree, { devices }), contents);
				const given = mounted.deviceFiles.map((file) => `--device=${file}`);
				const { stderr, stdout } = run("fsck.erofs", ["-d3", ...given, mounted.imageFile]);
				expect(stdout + stderr).not.toMatch(/<E>/);
			}
		},
		TIMEOUT_MS,
	);

	test("dump.erofs says of a file what was set", () => {
		const tree = new FileTree();
		const inode = tree.newInode();
		tree.inodes.setMode(inode, S_IFREG | 0o4751);
		tree.inodes.setOwner(inode, 70_000, 80_000);
		tree.inodes.setContent(inode, 1000, 2, 1);
		const name = Buffer.from("file");
		tree.insert(tree.root, name, 0, name.length, inode);
		const contents = [Buffer.alloc(2048), Buffer.alloc(2048)];
		const image = writeImage(tree, { devices: contents.map((_, n) => ({ tag: `d${n}`, sizeBytes: 2048 })) });
		using mounted = mountImage(filesystem.path, image, contents);
		const given = mounted.deviceFiles.map((file) => `--device=${file}`);
		const { stdout } = run("dump.erofs", ["-e", "--path=/file", ...given, mounted.imageFile]);
		expect(stdout).toMatch(/Size: 1000 .*regular file/);
		expect(stdout).toMatch(/Uid: 70000 +Gid: 80000 +Access: 0751/);
		expect(stdout).toMatch(/0\.\. +1024 \| +1024 : +512\.\. +1536/);
	});
});
