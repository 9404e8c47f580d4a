import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { makeFilesystem } from "../../test/support/filesystems.ts";
import * as linux from "./index.ts";

const childrenOf = (tid: number): string =>
	fs.readFileSync(`/proc/self/task/${tid}/children`, "latin1").trim();

test("a new user namespace has the maps, shifts what is seen through a mount, and leaves no process behind", () => {
	const before = childrenOf(linux.gettid());
	const userns = linux.newUserNamespace("0 100000 65536\n", "0 200000 65536\n");
	using filesystem = makeFilesystem("ext4", 64 * 2 ** 20);
	const dir = filesystem.path;
	try {
		expect(childrenOf(linux.gettid())).toBe(before);
		expect(fs.readlinkSync(`/proc/self/fd/${userns}`)).toMatch(/^user:\[\d+\]$/);
		fs.writeFileSync(path.join(dir, "file"), "");
		fs.chownSync(path.join(dir, "file"), 7, 8);
		const tree = linux.openTree(linux.AT_FDCWD, dir, linux.OPEN_TREE_CLONE);
		try {
			const attributes = { set: linux.MOUNT_ATTR_IDMAP, usernsFd: userns };
			linux.mountSetattr(tree, "", linux.AT_EMPTY_PATH, attributes);
			const { uid, gid } = linux.fstatat(tree, "file");
			expect([uid, gid]).toEqual([100_007, 200_008]);
		} finally {
			linux.close(tree);
		}
	} finally {
		linux.close(userns);
	}
});

test("a map that overlaps is refused, and leaves no process behind either", () => {
	const before = childrenOf(linux.gettid());
	expect(() => linux.newUserNamespace("0 1000 10\n5 3000 10\n", "0 0 1\n")).toThrow(/EINVAL/);
	expect(childrenOf(linux.gettid())).toBe(before);
});
