/**
 * `containerd.services.snapshots.v1.Snapshots` on the layer store: what containerd's own snapshotters do, call by
 * call. Mounts are described and never made: the client makes them, in its own mount namespace.
 *
 * Keys and names are opaque (containerd's metadata has put its namespace and a number into them). `snapshotter` in
 * the requests is not looked at: there is one behind each socket.
 */
import { LamellaError } from "../../../errors/index.ts";
import type { LayerInfo, LayerStore } from "../../../store/index.ts";
import type {
	PrepareSnapshotRequest,
	Snapshots,
	ViewSnapshotRequest,
} from "../generated/containerd/services/snapshots/v1/snapshots_pb.ts";
import type { ServiceMethods } from "../grpc/index.ts";
import { IdMappedParent, idMapsOf, ShiftedLayers } from "../id-maps/index.ts";
import { layerIdOf } from "../keys.ts";
import type { SnapshotterOptions } from "../options.ts";
import { infoOf, parentKeyOf, UPPERDIR_LABEL } from "./info.ts";
import { keptLabels, updatedLabels } from "./labels.ts";
import { list } from "./list.ts";
import { describeMounts, type Mounts } from "./mounts.ts";
import { mustNotBeShared } from "./remote.ts";

export function snapshotsService(
	store: LayerStore,
	options: SnapshotterOptions,
): ServiceMethods<typeof Snapshots> {
	const copies = new ShiftedLayers(store);
	const parents = new IdMappedParent(store, options.idMaps, copies);
	const create = async (
		kind: "active" | "view",
		{ key, parent, labels }: PrepareSnapshotRequest | ViewSnapshotRequest,
	): Promise<{ mounts: Mounts }> => {
		const id = layerIdOf(key);
		const kept = keptLabels(labels);
		const parentId = parent === "" ? undefined : layerIdOf(parent);
		const idMaps = idMapsOf(kept);
		if (options.remoteSnapshots) mustNotBeShared(store, kept, parentId);
		let layer: LayerInfo;
		try {
			layer = await parents.under(parentId, idMaps, (below) =>
				store.create(id, { kind, labels: kept, idMaps, ...below, durable: false }),
			);
		} catch (error) {
			throw wrongParent(error, parent);
		}
		return { mounts: await describeMounts(store, layer, options) };
	};
	return {
		prepare: (request) => create("active", request),
		view: (request) => create("view", request),
		mounts: async ({ key }) => {
			const layer = store.get(layerIdOf(key));
			if (layer.kind === "committed") {
				throw new LamellaError(
					"EKIND",
					`snapshot "${key}" is committed, and only active ones and views have mounts; prepare one over it`,
				);
			}
			return { mounts: await describeMounts(store, layer, options) };
		},
		commit: async ({ key, name, labels, parent }, { signal }) => {
			const id = layerIdOf(key);
			const layer = store.get(id);
			const committed = layerIdOf(name);
			if (store.has(committed)) throw new LamellaError("EEXISTS", `there is a snapshot "${name}" already`);
			if (parent !== "" && parent !== parentKeyOf(store, layer)) {
				throw new LamellaError(
					"EINVALID",
					`snapshot "${key}" cannot be put on "${parent}": leave "rebase" out of the capabilities`,
				);
			}
			await store.commit(id, committed, { labels: keptLabels(labels), signal });
			return {};
		},
		remove: async ({ key }) => {
			await copies.remove(layerIdOf(key));
			return {};
		},
		stat: ({ key }) => ({ info: infoOf(store, store.get(layerIdOf(key)), options) }),
		update: async ({ info, updateMask }) => {
			const id = layerIdOf(info?.name ?? "");
			const { [UPPERDIR_LABEL]: ours, ...sent } = info?.labels ?? {};
			// What Stat added is not the client's to set; without the option it is a label like any other.
			const labels = options.upperdirLabel || ours === undefined ? sent : { ...sent, [UPPERDIR_LABEL]: ours };
			const updated = await store.setLabels(id, (before) =>
				updatedLabels(before, labels, updateMask?.paths ?? []),
			);
			return { info: infoOf(store, updated, options) };
		},
		list: ({ filters }, { signal }) => list(store, filters, options, signal),
		usage: async ({ key }, { signal }) => {
			const { sizeBytes, inodes } = await store.usage(layerIdOf(key), { signal });
			return { size: BigInt(sizeBytes), inodes: BigInt(inodes) };
		},
		cleanup: async () => {
			await copies.sweep();
			await store.cleanup();
			return {};
		},
	};
}

/** A parent of the wrong kind is a wrong argument here; a commit of the wrong kind is a failed precondition. */
function wrongParent(error: unknown, parent: string): unknown {
	if (!(error instanceof LamellaError) || error.code !== "EKIND") return error;
	return new LamellaError("EINVALID", error.message, { layer: parent, cause: error });
}
