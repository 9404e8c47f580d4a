import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import * as linux from "../../linux/index.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { removeTree } from "./remove.ts";

test("removes a tree deeper than any path can be", () => {
	using place = new Workplace();
	const top = place.make("top");
	const name = "d".repeat(200);
	let fd = linux.openat(linux.AT_FDCWD, top, linux.O_RDONLY | linux.O_DIRECTORY);
	for (let depth = 0; depth < 300; depth++) {
		linux.mkdirat(fd, name, 0o755);
		linux.close(linux.openat(fd, "file", linux.O_CREAT | linux.O_WRONLY, 0o644));
		const next = linux.openat(fd, name, linux.O_RDONLY | linux.O_DIRECTORY);
		linux.close(fd);
		fd = next;
	}
	linux.close(fd);
	const before = fs.readdirSync("/proc/self/fd").length;
	removeTree(top);
	expect(fs.existsSync(top)).toBe(false);
	expect(fs.readdirSync("/proc/self/fd").length).toBe(before);
});

test("a missing tree is no error, and a file or link is removed itself", () => {
	using place = new Workplace();
	const kept = place.make("kept");
	fs.writeFileSync(path.join(kept, "f"), "f");
	removeTree(path.join(place.directory, "none"));
	removeTree(path.join(place.directory, "none", "none"));
	const link = path.join(place.directory, "link");
	fs.symlinkSync(kept, link);
	const tree = place.make("tree");
	fs.symlinkSync(kept, path.join(tree, "link"));
	removeTree(link);
	removeTree(tree);
	expect(fs.readdirSync(kept)).toEqual(["f"]);
	expect(fs.existsSync(link) || fs.existsSync(tree)).toBe(false);
});

test("stops before a mount and leaves what is mounted alone", () => {
	using place = new Workplace();
	const kept = place.make("kept");
	fs.writeFileSync(path.join(kept, "f"), "f");
	const tree = place.make("tree");
	fs.mkdirSync(path.join(tree, "a/mnt"), { recursive: true });
	linux.mount(kept, path.join(tree, "a/mnt"), "", linux.MS_BIND);
	try {
		expect(() => removeTree(tree)).toThrow(expect.objectContaining({ code: "EBUSY" }));
		expect(fs.readdirSync(kept)).toEqual(["f"]);
	} finally {
		linux.umount2(path.join(tree, "a/mnt"), linux.MNT_DETACH);
	}
	removeTree(tree);
	expect(fs.existsSync(tree)).toBe(false);
});

test("two removals of one tree at the same time both succeed", async () => {
	using place = new Workplace();
	const tree = place.make("tree");
	execFileSync("sh", ["-euc", "for i in $(seq 40); do mkdir -p $i/a/b; touch $i/a/b/1 $i/a/2; done"], {
		cwd: tree,
	});
	// The other one is played by a removal at every step of the first.
	let steps = 0;
	removeTree(tree, () => {
		steps += 1;
		if (steps === 7) execFileSync("rm", ["-rf", tree]);
	});
	expect(fs.existsSync(tree)).toBe(false);
});
