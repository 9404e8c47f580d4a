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
 * Within the transaction that removed layers: deletes the checkpoints that went with them. They are the layers' own,
 * and those below them of layers that are gone.
 */
export function deleteWithLayers(store: StoreContext, removed: readonly LayerRecord[]): LayerRecord[] {
	const gone: LayerRecord[] = [];
	const deleted = new Set(removed.map(({ id }) => id));
	const deleteAll = (candidates: Iterable<LayerRecord>): void => {
		for (const record of deleteLoose(store, candidates)) {
			gone.push(record);
			deleted.add(record.id);
		}
	};
	for (const layer of removed) {
		const own = layer.checkpoints === undefined ? [] : checkpointsOf(store.database, layer);
		deleteAll(own.sort((a, b) => b.depth - a.depth));
		const lowest = own.findLast(({ id }) => deleted.has(id)) ?? layer;
		if (lowest.parent === undefined || deleted.has(lowest.parent)) continue;
		deleteAll(abandonedBelow(store, lowest));
	}
	return gone;
}

/** From the parent downwards, as long as each is a checkpoint of a layer that is gone. */
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
