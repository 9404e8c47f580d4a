/** List: the snapshots that match containerd's filters, in messages of some. */
import { setImmediate } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LayerStore } from "../../../store/index.ts";
import { parseFilters } from "../filter/index.ts";
import type {
	Info,
	ListSnapshotsResponseSchema,
} from "../generated/containerd/services/snapshots/v1/snapshots_pb.ts";
import { isSnapshot, snapshotKeyOf } from "../keys.ts";
import type { SnapshotterOptions } from "../options.ts";
import { infoOf, parentKeyOf } from "./info.ts";

/** As many as containerd itself sends in one message. */
const INFOS_A_MESSAGE = 100;
/** Filters are matched so long before other calls get a turn. */
const SLICE_MS = 10;

/**
 * All that match are looked up before the first is sent, so a slow reader holds nothing up.
 * @throws {LamellaError} `EINVALID` (filters)
 */
export async function* list(
	store: LayerStore,
	filters: readonly string[],
	options: SnapshotterOptions,
	signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof ListSnapshotsResponseSchema>> {
	const matches = parseFilters(filters);
	// The store is read in one go: it changes between slices.
	const subjects = [...store.list()]
		.filter(({ id }) => isSnapshot(id))
		.map((layer) => ({ layer, parent: parentKeyOf(store, layer) }));
	const found: Info[] = [];
	let sliceMs = performance.now();
	for (const { layer, parent } of subjects) {
		if (performance.now() - sliceMs > SLICE_MS) {
			await setImmediate(undefined, { signal });
			sliceMs = performance.now();
		}
		const { id, kind, labels } = layer;
		if (!matches({ name: snapshotKeyOf(id), parent, kind, labels })) continue;
		if (store.has(id)) found.push(infoOf(store, layer, options));
	}
	for (let i = 0; i < found.length; i += INFOS_A_MESSAGE) {
		yield { info: found.slice(i, i + INFOS_A_MESSAGE) };
	}
}
