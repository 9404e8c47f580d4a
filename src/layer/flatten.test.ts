import fc from "fast-check";
import { expect, test } from "vitest";
import { flattenTree } from "./flatten.ts";
import { Workplace } from "./testing/overlay-mount.ts";
import { applyEdits, randomEdits } from "./testing/random-edits.ts";
import { makeTree, randomTree } from "./testing/random-tree.ts";
import { snapshotTree } from "./testing/snapshot-tree.ts";

const context = { checkAborted: () => undefined, progress: () => undefined };
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
			flattenTree({ lowers: [two.upper, one.upper, base], target: root, xattrPrefix }, context);
			const overlayMarks = (name: string): boolean => name.startsWith("trusted.overlay.");
			// A file keeps overlayfs's origin mark: its inode is shared and so not touched.
			expect(snapshotTree(root, { ignoreXattr: overlayMarks })).toEqual(snapshotTree(two.merged));
		}),
		{ numRuns: 40, endOnFailure: true },
	);
});
