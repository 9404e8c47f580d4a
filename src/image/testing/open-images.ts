/** A layer store in a directory of its own, with its images, for tests. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { unmountBelow } from "../../../test/support/filesystems.ts";
import { type LayerStore, openLayerStore } from "../../store/index.ts";
import type { Images } from "../contract.ts";
import { openImages } from "../image-store.ts";

export interface TestImages extends AsyncDisposable {
	readonly store: LayerStore;
	readonly images: Images;
	readonly root: string;
	/** A directory beside the store's for archives and exports. */
	readonly work: string;
}

export async function openTestImages(): Promise<TestImages> {
	const directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	const root = path.join(directory, "root");
	const work = path.join(directory, "work");
	fs.mkdirSync(work);
	const store = await openLayerStore({ root });
	return {
		store,
		images: openImages(store),
		root,
		work,
		[Symbol.asyncDispose]: async () => {
			await store.close();
			const left = ["staging", "trash"].flatMap((name) => fs.readdirSync(path.join(root, name)));
			unmountBelow(directory);
			fs.rmSync(directory, { recursive: true, force: true });
			if (left.length > 0)
				throw new Error(`the closed store still has ${left.join(", ")} in staging or trash`);
		},
	};
}

/** What is being made in a store: nothing, once all is done. (Trash is emptied in the background.) */
export function leftovers(root: string): string[] {
	const staging = path.join(root, "staging");
	return fs.readdirSync(staging).flatMap((owner) => fs.readdirSync(path.join(staging, owner)));
}
