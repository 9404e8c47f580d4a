/** Checkpoints that nobody needs any more: without a name of their own, a layer over them, or a mount. */
import { existsSync } from "node:fs";
import type { StoreContext } from "../context.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { checkpointsOf, childrenOf, deleteLayer, layerOfMount, parentOf } from "../database/layers.ts";

/** Within a transaction: deletes those of `candidates`, children before parents, that nobody needs. Returns them. */
export function deleteLoose(store: StoreContext, candidates: Iterable<LayerRecord>): LayerRecord[] {
	const gone: LayerRecord[] = [];
	for (const record of candidates) {
		if (record.checkpoint?.auto !== true || existsSync(store.holdsOf(record))) continue;
		if (childrenOf(store.database, record).length > 0) continue;
		deleteLayer(store.database, record);
		gone.push(record);
	}
	return gone;
}

/**
 * Within the transaction that removed a layer: deletes the checkpoints that went with it. They are its own, and those below
 * it, of layers that are no more.
 */
export function deleteWithLayer(store: StoreContext, removed: LayerRecord): LayerRecord[] {
	const own = removed.checkpoints === undefined ? [] : checkpointsOf(store.database, removed);
	const gone = deleteLoose(
		store,
		own.sort((a, b) => b.depth - a.depth),
	);
	const lowest = gone.at(-1) ?? removed;
	return [...gone, ...deleteLoose(store, abandonedBelow(store, lowest))];
}

/** From the parent downwards, as long as each is a checkpoint of a layer that is no more. */
function* abandonedBelow(store: StoreContext, record: LayerRecord): Generator<LayerRecord> {
	let below = parentOf(store.database, record);
	while (
		below?.checkpoint?.auto === true &&
		layerOfMount(store.database, below.checkpoint.of) === undefined
	) {
		const next = parentOf(store.database, below);
		yield below;
		below = next;
	}
}
