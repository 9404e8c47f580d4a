/**
 * `containerd.services.snapshots.v1.Snapshots` on the layer store: what containerd's own snapshotters do, call by
 * call. Mounts are described and never made; whoever asked makes them in a mount namespace of its own.
 *
 * Keys and names are opaque (containerd's metadata has put its namespace and a number into them). `snapshotter` in
 * the requests is not looked at: there is one behind each socket.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { LamellaError } from "../../errors/index.ts";
import type { LayerInfo, LayerStore } from "../../store/index.ts";
import { parseFilters } from "./filter.ts";
import type {
	Info,
	ListSnapshotsResponseSchema,
	PrepareSnapshotRequest,
	Snapshots,
	ViewSnapshotRequest,
} from "./generated/containerd/services/snapshots/v1/snapshots_pb.js";
import type { ServiceMethods } from "./grpc-service.ts";
import { infoOf, keptLabels, updatedLabels } from "./info.ts";
import { isSnapshot, layerIdOf, snapshotKeyOf } from "./keys.ts";
import { describeMounts, idMapsOf, type Mounts } from "./mounts.ts";
import type { SnapshotterOptions } from "./options.ts";
import { mustNotBeShared } from "./remote.ts";

/** As many as containerd itself sends in one message. */
const INFOS_A_MESSAGE = 100;
const UPPERDIR_LABEL = "containerd.io/snapshot/overlay.upperdir";

export function snapshotsService(
	store: LayerStore,
	options: SnapshotterOptions,
): ServiceMethods<typeof Snapshots> {
	const create = async (
		kind: "active" | "view",
		{ key, parent, labels }: PrepareSnapshotRequest | ViewSnapshotRequest,
	): Promise<{ mounts: Mounts }> => {
		const id = layerIdOf(key);
		const kept = keptLabels(labels);
		const parentId = parent === "" ? undefined : layerIdOf(parent);
		const idMaps = idMapsOf(kept, options);
		if (options.remoteSnapshots) mustNotBeShared(store, kept, parentId);
		try {
			await store.create(id, {
				kind,
				parent: parentId,
				labels: kept,
				idMaps,
				idMappedBelow: true,
				early: true,
			});
		} catch (error) {
			throw wrongParent(error, parent);
		}
		return { mounts: await describeMounts(store, id, kept, options) };
	};
	const shown = (layer: LayerInfo): Info => infoOf(layer, shownLabels(store, layer, options));
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
			return { mounts: await describeMounts(store, layer.id, layer.labels, options) };
		},
		commit: async ({ key, name, labels, parent }, signal) => {
			const id = layerIdOf(key);
			const committed = layerIdOf(name);
			if (store.has(committed)) throw new LamellaError("EEXISTS", `there is a snapshot "${name}" already`);
			if (parent !== "" && layerIdOf(parent) !== store.get(id).parent) {
				throw new LamellaError(
					"EINVALID",
					`snapshot "${key}" cannot be put on "${parent}": leave "rebase" out of the capabilities`,
				);
			}
			await store.commit(id, committed, { labels: keptLabels(labels), early: true, signal });
			return {};
		},
		remove: async ({ key }) => {
			await store.remove(layerIdOf(key), { early: true });
			return {};
		},
		stat: ({ key }) => ({ info: shown(store.get(layerIdOf(key))) }),
		update: async ({ info, updateMask }) => {
			const id = layerIdOf(info?.name ?? "");
			const { [UPPERDIR_LABEL]: ours, ...sent } = info?.labels ?? {};
			// What Stat added is not the client's to set; without the option it is a label like any other.
			const labels = options.upperdirLabel || ours === undefined ? sent : { ...sent, [UPPERDIR_LABEL]: ours };
			const updated = await store.setLabels(id, (before) =>
				updatedLabels(before, labels, updateMask?.paths ?? []),
			);
			return { info: shown(updated) };
		},
		list: ({ filters }) => {
			const matches = parseFilters(filters);
			return batches(
				store.list(),
				(layer) =>
					isSnapshot(layer.id) &&
					matches({
						name: snapshotKeyOf(layer.id),
						parent: layer.parent === undefined ? "" : snapshotKeyOf(layer.parent),
						kind: layer.kind,
						labels: layer.labels,
					}),
				shown,
			);
		},
		usage: async ({ key }, signal) => {
			const { sizeBytes, inodes } = await store.usage(layerIdOf(key), { signal });
			return { size: BigInt(sizeBytes), inodes: BigInt(inodes) };
		},
		cleanup: async () => {
			await store.cleanup();
			return {};
		},
	};
}

/** All that match are looked up before the first is sent, so a slow reader holds nothing up. */
function batches(
	layers: Iterable<LayerInfo>,
	matches: (layer: LayerInfo) => boolean,
	shown: (layer: LayerInfo) => Info,
): MessageInitShape<typeof ListSnapshotsResponseSchema>[] {
	const found: Info[] = [];
	for (const layer of layers) if (matches(layer)) found.push(shown(layer));
	const messages: MessageInitShape<typeof ListSnapshotsResponseSchema>[] = [];
	for (let i = 0; i < found.length; i += INFOS_A_MESSAGE) {
		messages.push({ info: found.slice(i, i + INFOS_A_MESSAGE) });
	}
	return messages;
}

function shownLabels(store: LayerStore, layer: LayerInfo, options: SnapshotterOptions): LayerInfo["labels"] {
	if (!options.upperdirLabel || layer.kind !== "active") return layer.labels;
	const upperdir = store
		.describeMounts(layer.id)
		.flatMap((mount) =>
			mount.type === "bind"
				? [mount.source]
				: mount.options.filter((o) => o.startsWith("upperdir=")).map((o) => o.slice("upperdir=".length)),
		)[0];
	return upperdir === undefined ? layer.labels : { ...layer.labels, [UPPERDIR_LABEL]: upperdir };
}

/** A parent of the wrong kind is a wrong argument here; a commit of the wrong kind is a failed precondition. */
function wrongParent(error: unknown, parent: string): unknown {
	if (!(error instanceof LamellaError) || error.code !== "EKIND") return error;
	return new LamellaError("EINVALID", error.message, { layer: parent, cause: error });
}
