/**
 * The remote snapshot protocol: a Prepare that names the committed snapshot it is for (`containerd.io/snapshot.ref`)
 * is answered by AlreadyExists where that is here already, and containerd then neither downloads nor applies the layer.
 * It finds ours by that label and the parent.
 */
import { LamellaError } from "../../../errors/index.ts";
import type { Labels, LayerId, LayerInfo, LayerStore } from "../../../store/index.ts";
import { isSnapshot, snapshotKeyOf } from "../keys.ts";

export const SNAPSHOT_REF = "containerd.io/snapshot.ref";

/** @throws {LamellaError} `EEXISTS` where the snapshot that is being made is here, over the same parent */
export function mustNotBeShared(store: LayerStore, labels: Labels, parent: LayerId | undefined): void {
	const ref = labels[SNAPSHOT_REF];
	if (ref === undefined) return;
	for (const layer of siblings(store, parent)) {
		if (layer.kind === "committed" && isSnapshot(layer.id) && layer.labels[SNAPSHOT_REF] === ref) {
			const message = `snapshot "${ref}" is here already, as "${snapshotKeyOf(layer.id)}"`;
			throw new LamellaError("EEXISTS", message, { layer: layer.id });
		}
	}
}

function* siblings(store: LayerStore, parent: LayerId | undefined): Iterable<LayerInfo> {
	if (parent === undefined) {
		for (const layer of store.list()) if (layer.parent === undefined) yield layer;
	} else if (store.has(parent)) {
		for (const id of store.children(parent)) yield store.get(id);
	}
}
