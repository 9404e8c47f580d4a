import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { copyTree } from "./copy.ts";
import { Workplace } from "./testing/overlay-mount.ts";
import { makeTree, randomTree } from "./testing/random-tree.ts";
import { snapshotTree } from "./testing/snapshot-tree.ts";
import { quietContext } from "./testing/tar-of.ts";

test("a copied tree is the same tree, and the original is not touched", () => {
	fc.assert(
		fc.property(randomTree(), (tree) => {
			using place = new Workplace();
			const from = place.make("from");
			makeTree(from, tree);
			const before = snapshotTree(from, { inodes: true });
			const to = path.join(place.directory, "to");
			const { entries } = copyTree({ from, to }, quietContext);
			const copied = snapshotTree(to);
			expect(copied).toEqual(snapshotTree(from));
			expect(entries).toBe(Object.keys(copied).length);
			expect(snapshotTree(from, { inodes: true })).toEqual(before);
		}),
		{ numRuns: 40 },
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
