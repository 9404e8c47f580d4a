/** What a store has after a pull: the tree of an image, and what should not be there. */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { openStore, type Store } from "../../../src/index.ts";
import { snapshotTree } from "../../../src/layer/testing/snapshot-tree.ts";
import { type RegistryImage, writeImageLayout } from "./images.ts";

export type Tree = Record<string, unknown>;

/** As a container of the image sees it. */
export async function treeOfImage(store: Store, image: string): Promise<Tree> {
	// Of no layers no container is made.
	if ([...store.images()].find(({ names }) => names.some((name) => name === image))?.layers.length === 0)
		return {};
	await store.create("probe", { from: image });
	try {
		await using mount = await store.mount("probe");
		// EROFS has the content of a sparse file in one piece.
		return snapshotTree(mount.path, { ignoreHoles: true });
	} finally {
		await store.remove("probe");
	}
}

/** The tree that `lamella import` makes of the image's layout in a store of its own, in the new directory `work`. */
export async function importedTree(work: string, image: RegistryImage): Promise<Tree> {
	const layout = path.join(work, "layout");
	writeImageLayout(layout, image, "imported");
	await using store = await openStore({ root: path.join(work, "store") });
	await store.importImage(layout, { name: "imported:1" });
	return await treeOfImage(store, "imported:1");
}

/** All that a failed pull may not leave in a closed store that was empty before it. */
export function leftIn(root: string): string[] {
	const left = ["staging", "trash", "layers", "documents"].flatMap((name) =>
		(existsSync(path.join(root, name)) ? readdirSync(path.join(root, name)) : []).map(
			(one) => `${name}/${one}`,
		),
	);
	// Of records also directories stay.
	const records = readdirSync(path.join(root, "records"), { recursive: true, withFileTypes: true });
	return [...left, ...records.filter((one) => !one.isDirectory()).map(({ name }) => `records/${name}`)];
}
