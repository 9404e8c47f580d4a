import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import * as linux from "../../linux/index.ts";
import { jobContext } from "../testing/edited-layer.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { applyEdits, randomEdits } from "../testing/random-edits.ts";
import { makeTree, randomTree } from "../testing/random-tree.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import { usageOf } from "../tree/usage.ts";
import { flattenTree } from "./flatten.ts";

const xattrPrefix = "trusted.overlay.";

test("a flattened chain is the tree that the overlay mount shows", () => {
	fc.assert(
		fc.property(randomTree(), randomEdits(), randomEdits(), (tree, first, second) => {
			using place = new Workplace();
			const base = place.make("base");
			makeTree(base, tree);
			const one = place.mount([base]);
			applyEdits(one.merged, first);
			place.unmount(one.merged);
			const two = place.mount([one.upper, base]);
			applyEdits(two.merged, second);
			const root = place.make("root");
			flattenTree({ lowers: [two.upper, one.upper, base], target: root, xattrPrefix }, jobContext);
			const overlayMarks = (name: string): boolean => name.startsWith("trusted.overlay.");
			// A file keeps overlayfs's origin mark: its inode is shared and so not touched.
			expect(snapshotTree(root, { ignoreXattr: overlayMarks, ignoreHoles: true })).toEqual(
				snapshotTree(two.merged, { ignoreHoles: true }),
			);
		}),
		{ numRuns: 40, endOnFailure: true },
	);
});

test("a folded part of a chain is shown over the rest as the whole chain is", () => {
	fc.assert(
		fc.property(randomTree(), randomEdits(), randomEdits(), randomEdits(), (tree, ...edits) => {
			using place = new Workplace();
			const base = place.make("base");
			makeTree(base, tree);
			let lowers = [base];
			for (const each of edits) {
				const { upper, merged } = place.mount(lowers);
				applyEdits(merged, each);
				place.unmount(merged);
				lowers = [upper, ...lowers];
			}
			const fold = place.make("fold");
			const above = lowers.slice(0, -1);
			flattenTree({ lowers: above, over: [base], target: fold, xattrPrefix }, jobContext);
			const options = {
				ignoreXattr: (name: string) => name.startsWith("trusted.overlay."),
				ignoreHoles: true,
			};
			expect(snapshotTree(place.mount([fold, base]).merged, options)).toEqual(
				snapshotTree(place.mount(lowers).merged, options),
			);
		}),
		{ numRuns: 40, endOnFailure: true },
	);
});

function shell(cwd: string, script: string): void {
	execFileSync("bash", ["-euc", script], { cwd });
}

function stat(...names: string[]): linux.Stat {
	return linux.fstatat(linux.AT_FDCWD, path.join(...names));
}

test("files of a flattened tree are the lowers' own inodes, and the lowers are left as they were", () => {
	using place = new Workplace();
	const base = place.make("base");
	shell(
		base,
		"mkdir -p d/e; echo a > d/a; ln -s a d/s; mkfifo d/p; mknod d/c c 1 3; setfattr -n user.x -v y d",
	);
	const before = snapshotTree(base, { inodes: true });
	const target = place.make("root");
	const { entries } = flattenTree({ lowers: [base], target, xattrPrefix, sync: true }, jobContext);
	expect(entries).toBe(7);
	for (const name of ["d/a", "d/s", "d/p", "d/c"]) expect(stat(target, name).ino).toBe(stat(base, name).ino);
	const withoutLinks = (tree: typeof before) =>
		Object.fromEntries(Object.entries(tree).map(([name, node]) => [name, { ...node, links: undefined }]));
	expect(withoutLinks(snapshotTree(base, { inodes: true }))).toEqual(withoutLinks(before));
});

test("a diff over the parent's root gives what the whole chain gives", () => {
	using place = new Workplace();
	const base = place.make("base");
	shell(base, "mkdir -p d o; touch d/gone d/kept o/hidden");
	const { upper, merged } = place.mount([base]);
	shell(merged, "rm d/gone; rm -r o; mkdir o; touch o/n");
	const roots = [[base], [upper, base]].map((lowers) => {
		const target = place.make("root");
		flattenTree({ lowers, target, xattrPrefix }, jobContext);
		return target;
	});
	const target = place.make("root");
	flattenTree({ lowers: [upper, roots[0] ?? ""], target, xattrPrefix }, jobContext);
	expect(snapshotTree(target)).toEqual(snapshotTree(roots[1] ?? ""));
	expect(Object.keys(snapshotTree(target))).toEqual([".", "d", "d/kept", "o", "o/n"]);
});

test("a file with as many links as ext4 takes is copied once, and the next links go to the copy", () => {
	using place = new Workplace();
	const base = place.make("base");
	shell(base, "mkdir d; echo content > d/0; for i in $(seq 9); do ln d/0 d/$i; done");
	const full = place.make("full");
	let made = 10;
	try {
		for (; ; made++)
			linux.linkat(linux.AT_FDCWD, path.join(base, "d/0"), linux.AT_FDCWD, path.join(full, `${made}`));
	} catch (error) {
		if (!linux.isSystemError(error, "EMLINK")) throw error;
	}
	const target = place.make("root");
	flattenTree({ lowers: [base], target, xattrPrefix }, jobContext);
	expect(snapshotTree(target)).toEqual(snapshotTree(base));
	expect(stat(target, "d/0").nlink).toBe(10);
	expect(stat(target, "d/0").ino).not.toBe(stat(base, "d/0").ino);
});

test("a target that holds something already is refused", () => {
	using place = new Workplace();
	const target = place.make("root");
	mkdirSync(path.join(target, "d"));
	expect(() => flattenTree({ lowers: [], target, xattrPrefix }, jobContext)).toThrow(/is not empty/);
});

test("usage counts each inode once across directories, and holes as nothing", () => {
	using place = new Workplace();
	const base = place.make("base");
	shell(base, "mkdir d; head -c 10000 /dev/urandom > d/a; ln d/a b; truncate -s 1G hole; sync .");
	const target = place.make("root");
	flattenTree({ lowers: [base], target, xattrPrefix }, jobContext);
	const directories = [stat(base), stat(base, "d"), stat(target), stat(target, "d")];
	const blocks = directories.reduce((sum, each) => sum + each.blocks, stat(base, "b").blocks);
	expect(usageOf([base, target], jobContext)).toEqual({ sizeBytes: blocks * 512, inodes: 6 });
});
