/**
 * Whatever a tree holds and whatever is done to it in containers: commit, export and import give it back, in every flatten
 * policy and with plain copies. Random trees and edits; the long form tries more of them.
 */
import path from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStore, type Store } from "../../src/index.ts";
import { applyEdits, type Edit, randomEdits } from "../../src/layer/testing/random-edits.ts";
import { makeTree, randomTree, type TreeSpec } from "../../src/layer/testing/random-tree.ts";
import { type NodeSnapshot, snapshotTree } from "../../src/layer/testing/snapshot-tree.ts";
import { makeFilesystem, type TestFilesystem } from "../support/filesystems.ts";

const RUNS = process.env.LAMELLA_TEST_LONG === undefined ? 10 : 60;

const VARIANTS = [
	{ driver: "packed", flatten: "auto" },
	{ driver: "overlay", flatten: "auto" },
	{ driver: "overlay", flatten: "always" },
	{ driver: "overlay", flatten: "never" },
	{ driver: "vfs", flatten: "auto" },
] as const;

type Tree = Record<string, NodeSnapshot>;

let filesystem: TestFilesystem;
beforeAll(() => {
	filesystem = makeFilesystem("ext4", 2 ** 30);
});
afterAll(() => filesystem?.[Symbol.dispose]());

/** Where ext4 says that data lies depends on what it has written back by then; holes have tests of their own. */
async function within(store: Store, name: string, work: (root: string) => void): Promise<Tree> {
	await using mount = await store.mount(name);
	work(mount.path);
	return snapshotTree(mount.path, { ignoreHoles: true });
}

const look = (): void => undefined;

/** Makes an image of what `work` does over `from`; returns the tree that its container saw. */
async function change(
	store: Store,
	{ from, image, work }: { from?: string; image: string; work: (root: string) => void },
): Promise<Tree> {
	const name = "container";
	await store.create(name, from === undefined ? {} : { from });
	const seen = await within(store, name, work);
	await store.commit(name, image);
	await store.remove(name);
	return seen;
}

/** The tree of an image, as a new container sees it. */
async function treeOf(store: Store, image: string): Promise<Tree> {
	await store.create("look", { from: image });
	const tree = await within(store, "look", look);
	await store.remove("look");
	return tree;
}

interface Story {
	readonly tree: TreeSpec;
	readonly first: readonly Edit[];
	readonly second: readonly Edit[];
	readonly format: "oci" | "docker";
}

const story: fc.Arbitrary<Story> = fc.record({
	tree: randomTree(),
	first: randomEdits(),
	second: randomEdits(),
	format: fc.constantFrom("oci" as const, "docker" as const),
});

test.each(VARIANTS)(
	"a tree survives commit, export and import: $driver, flatten $flatten",
	async (options) => {
		const at = (name: string): string =>
			path.join(filesystem.path, `${options.driver}-${options.flatten}-${name}`);
		await using store = await openStore({ root: at("one"), ...options });
		await using other = await openStore({ root: at("two"), ...options });
		const archive = at("archive.tar");
		await fc.assert(
			fc
				.asyncProperty(story, async ({ tree, first, second, format }) => {
					await change(store, { image: "base:1", work: (root) => makeTree(root, tree) });
					await change(store, { from: "base:1", image: "edited:1", work: (root) => applyEdits(root, first) });
					const expected = await change(store, {
						from: "edited:1",
						image: "edited:2",
						work: (root) => applyEdits(root, second),
					});
					expect(await treeOf(store, "edited:2")).toEqual(expected);
					await store.exportImage("edited:2", archive, { format });
					await other.importImage(archive, { name: "again:1" });
					expect(await treeOf(other, "again:1")).toEqual(expected);
				})
				.afterEach(async () => {
					for (const one of [store, other]) {
						for (const { id } of [...one.images()]) await one.removeImage(id);
						for (const { id } of one.layers()) await one.remove(id, { force: true });
					}
				}),
			{ numRuns: RUNS, endOnFailure: true },
		);
	},
);
