/** Layers as containerd's `Info`. */
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { LayerKind } from "../../../driver/index.ts";
import type { Labels, LayerInfo, LayerStore } from "../../../store/index.ts";
import { type Info, InfoSchema, Kind } from "../generated/containerd/services/snapshots/v1/snapshots_pb.ts";
import { shownParent } from "../id-maps/index.ts";
import { snapshotKeyOf } from "../keys.ts";
import type { SnapshotterOptions } from "../options.ts";

/** An active snapshot's upper directory, shown where that was asked for; never kept. */
export const UPPERDIR_LABEL = "containerd.io/snapshot/overlay.upperdir";

const KINDS: Readonly<Record<LayerKind, Kind>> = {
	view: Kind.VIEW,
	active: Kind.ACTIVE,
	committed: Kind.COMMITTED,
};

export function infoOf(store: LayerStore, layer: LayerInfo, options: SnapshotterOptions): Info {
	return create(InfoSchema, {
		name: snapshotKeyOf(layer.id),
		parent: parentKeyOf(store, layer),
		kind: KINDS[layer.kind],
		createdAt: timestamp(layer.createdAtNs),
		updatedAt: timestamp(layer.updatedAtNs),
		labels: shownLabels(store, layer, options),
	});
}

/** The key of the parent as containerd knows it, "" without one. */
export function parentKeyOf(store: LayerStore, layer: LayerInfo): string {
	const parent = shownParent(store, layer);
	return parent === undefined ? "" : snapshotKeyOf(parent);
}

function timestamp(ns: bigint): Timestamp {
	return create(TimestampSchema, { seconds: ns / 1_000_000_000n, nanos: Number(ns % 1_000_000_000n) });
}

function shownLabels(store: LayerStore, layer: LayerInfo, options: SnapshotterOptions): Labels {
	if (!options.upperdirLabel || layer.kind !== "active") return layer.labels;
	const { upper, root } = store.paths(layer.id);
	const upperdir = upper ?? root;
	return upperdir === undefined ? layer.labels : { ...layer.labels, [UPPERDIR_LABEL]: upperdir };
}
