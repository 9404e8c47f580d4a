import { Buffer } from "node:buffer";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import * as linux from "./index.ts";

let dir = "";
beforeEach(() => {
	dir = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	// A filesystem of its own below which all is mounted: one lazy unmount then takes everything away.
	linux.mount("tmpfs", dir, "tmpfs", 0, "mode=700");
});
afterEach(() => {
	linux.umount2(dir, linux.MNT_DETACH);
	fs.rmdirSync(dir);
});

const at = (...names: string[]): string => path.join(dir, ...names);

function overlay(options: readonly (readonly [string, linux.Path | undefined])[], target: string): void {
	const context = linux.fsopen("overlay");
	try {
		for (const [key, value] of options)
			if (value === undefined) linux.fsconfigFlag(context, key);
			else linux.fsconfigString(context, key, value);
		linux.fsconfigCreate(context);
		const mounted = linux.fsmount(context);
		linux.moveMount(mounted, "", linux.AT_FDCWD, target, linux.MOVE_MOUNT_F_EMPTY_PATH);
		linux.close(mounted);
	} finally {
		linux.close(context);
	}
}

describe("the mount API by descriptors", () => {
	test("lowerdir+ takes each lower as it is: colons, commas, backslashes", () => {
		const names = ["top", "co:lon", "com,ma", "back\\slash", "bottom"];
		for (const name of [...names, "upper", "work", "merged"]) fs.mkdirSync(at(name));
		for (const name of names) {
			fs.writeFileSync(at(name, "who"), name);
			fs.writeFileSync(at(name, `only-${name}`), "");
		}
		overlay(
			[
				...names.map((name) => ["lowerdir+", at(name)] as const),
				["upperdir", at("upper")],
				["workdir", at("work")],
				["userxattr", undefined],
			],
			at("merged"),
		);
		expect(fs.readFileSync(at("merged/who"), "utf8")).toBe("top");
		expect(fs.readdirSync(at("merged")).sort()).toEqual([...names.map((n) => `only-${n}`), "who"].sort());
		fs.writeFileSync(at("merged/who"), "changed");
		expect(fs.readFileSync(at("upper/who"), "utf8")).toBe("changed");
		const info = linux.readMountInfo().find((m) => m.mountPoint.toString() === at("merged"));
		expect(info?.fsType).toBe("overlay");
		expect(info?.superOptions).toContain("userxattr");
		linux.umount2(at("merged"));
		expect(() => linux.umount2(at("merged"))).toThrow(/EINVAL/);
	});

	test("a wrong option says what the kernel says", () => {
		expect(() => overlay([["nonsense", "x"]], dir)).toThrow(/EINVAL.*nonsense/);
		expect(() => linux.fsopen("no-such-fs")).toThrow(/ENODEV/);
	});

	test("open_tree and mount_setattr make a read-only bind mount", () => {
		fs.mkdirSync(at("source"));
		fs.mkdirSync(at("target"));
		const tree = linux.openTree(linux.AT_FDCWD, at("source"), linux.OPEN_TREE_CLONE);
		linux.mountSetattr(tree, "", linux.AT_EMPTY_PATH, {
			set: linux.MOUNT_ATTR_RDONLY,
			propagation: linux.MS_PRIVATE,
		});
		linux.moveMount(tree, "", linux.AT_FDCWD, at("target"), linux.MOVE_MOUNT_F_EMPTY_PATH);
		linux.close(tree);
		expect(() => fs.writeFileSync(at("target/x"), "")).toThrow(/EROFS/);
		expect(linux.isMountRoot(linux.AT_FDCWD, at("target"))).toBe(true);
	});
});

test("mount(2) takes data up to a page and refuses more", () => {
	fs.mkdirSync(at("t"));
	linux.mount("none", at("t"), "tmpfs", linux.MS_NODEV, "size=1m,mode=711");
	expect(fs.statSync(at("t")).mode & 0o777).toBe(0o711);
	linux.umount2(at("t"));
	expect(() => linux.mount("none", at("t"), "tmpfs", 0, `size=1m,${" ".repeat(4100)}`)).toThrow(
		/ENAMETOOLONG/,
	);
});

describe("mountinfo", () => {
	test("mount points of any bytes come back as they are", () => {
		const name = Buffer.concat([Buffer.from(`${dir}/a b\tc\nd\\e#f:`), Buffer.from([0xff, 0xe9])]);
		linux.mkdirat(linux.AT_FDCWD, name, 0o700);
		linux.mount("so urce", name, "tmpfs", 0);
		const found = linux.readMountInfo().filter((m) => m.mountPoint.equals(name));
		expect(found.length).toBe(1);
		expect(found[0]).toMatchObject({ fsType: "tmpfs", source: Buffer.from("so urce") });
	});

	test("optional fields are any number, and a line of another shape is left out", () => {
		const text =
			"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\nrubbish\n" +
			"37 35 0:5 / /x rw - tmpfs none rw,a=\\134,b\n";
		expect(linux.parseMountInfo(text)).toMatchObject([
			{ id: 36, parentId: 35, majorMinor: "98:0", propagation: ["master:1", "shared:7"], fsType: "ext3" },
			{ id: 37, root: Buffer.from("/"), propagation: [], superOptions: "rw,a=\\,b" },
		]);
	});
});
