/**
 * What the graph driver asks of the store and the store does not answer yet: where a layer's parts are, whether it is
 * as its parent, its content as another layer. Nothing else in this room knows how a layer is kept.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import type { Labels, LayerId, LayerStore } from "../store/index.ts";

export interface LayerPaths {
	/** The whole tree, where one directory has it. */
	readonly root?: string | undefined;
	readonly upper?: string | undefined;
	/** Top first. */
	readonly lowers: readonly string[];
	readonly work?: string | undefined;
	readonly merged: string;
}

export function pathsOf(store: LayerStore, id: LayerId): LayerPaths {
	const layer = store.get(id);
	const [root, upper, work, merged] = ["root", "diff", "work", "merged"].map((name) =>
		path.join(layer.directory, name),
	) as [string, string, string, string];
	// vfs has whole trees only.
	if (!existsSync(upper)) return { root, lowers: [], merged };
	const lowers: string[] = [];
	for (const { directory, flattened } of store.chain(id)) {
		lowers.push(path.join(directory, flattened ? "root" : "diff"));
		if (flattened) break;
	}
	return {
		root: layer.flattened ? root : undefined,
		upper,
		lowers,
		work: existsSync(work) ? work : undefined,
		merged,
	};
}

/** Whether a writable layer still shows exactly what its parent does. */
export async function isUntouched(store: LayerStore, id: LayerId): Promise<boolean> {
	if (store.get(id).parent === undefined) return false;
	const { upper, lowers } = pathsOf(store, id);
	const [below] = lowers;
	if (upper === undefined || below === undefined) return (await store.changes(id)).length === 0;
	if (readdirSync(upper).length > 0) return false;
	const [mine, theirs] = [statSync(upper), statSync(below)];
	return mine.mode === theirs.mode && mine.uid === theirs.uid && mine.gid === theirs.gid;
}

/** The content of `from` becomes one more committed layer over the same parent; `from` may be mounted. */
export async function snapshot(
	store: LayerStore,
	from: LayerId,
	name: LayerId,
	labels: Labels,
): Promise<LayerId> {
	const { stream, result } = store.diff(from);
	// applyLayer learns of a failure from the stream.
	result.catch(() => undefined);
	const { id } = await store.applyLayer(name, stream, { parent: store.get(from).parent, labels });
	return id;
}
