import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Workplace } from "../testing/overlay-mount.ts";
import { makeTree, randomTree } from "../testing/random-tree.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import { quietContext } from "../testing/tar-of.ts";
import { copyTree } from "./copy.ts";

test("a copied tree is the same tree, and the original is not touched", () => {
	fc.assert(
		fc.property(randomTree(), (tree) => {
			using place = new Workplace();
			const from = place.make("from");
			makeTree(from, tree);
			const before = snapshotTree(from, { inodes: true, ignoreHoles: true });
			const to = path.join(place.directory, "to");
			const { entries } = copyTree({ from, to }, quietContext);
			// Where the filesystem says that data lies depends on what it has written back by then.
			const copied = snapshotTree(to, { ignoreHoles: true });
			expect(copied).toEqual(snapshotTree(from, { ignoreHoles: true }));
			expect(entries).toBe(Object.keys(copied).length);
			expect(snapshotTree(from, { inodes: true, ignoreHoles: true })).toEqual(before);
		}),
		{ numRuns: 25, endOnFailure: true },
	);
});

test("a copy that fails names the file", () => {
	using place = new Workplace();
	const from = place.make("from");
	fs.writeFileSync(path.join(from, "f"), "f");
	const to = place.make("to");
	fs.writeFileSync(path.join(to, "f"), "in the way");
	expect(() => copyTree({ from, to }, quietContext)).toThrow(/from\/f/);
});

test("holes stay holes", () => {
	using place = new Workplace();
	const from = place.make("from");
	const fd = fs.openSync(path.join(from, "sparse"), "w");
	fs.writeSync(fd, "data", 1 << 20);
	fs.ftruncateSync(fd, 1 << 30);
	fs.closeSync(fd);
	const to = place.make("to");
	copyTree({ from, to }, quietContext);
	const { size, blocks } = fs.statSync(path.join(to, "sparse"));
	expect(size).toBe(1 << 30);
	expect(blocks).toBeLessThan(100);
});
