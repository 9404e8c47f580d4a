/** Rollback: a writable layer goes on over one of its checkpoints, at the same path, with nothing of its own. */
import { LamellaError } from "../../errors/index.ts";
import type { StoreContext } from "../context.ts";
import type { LayerId, RollbackOptions } from "../contract.ts";
import { type LayerRecord, mountNameOf } from "../database/layer-record.ts";
import { layerRecord, mustBeFree, parentOf } from "../database/layers.ts";
import { storeFailure } from "../failure.ts";
import { afterCheckpoint, mustBeWritable } from "./checkpoint.ts";
import { deleteLoose } from "./loose-checkpoints.ts";
import { settleMount } from "./mounting.ts";
import { nextDirectory, sealedRecord, turnLayer } from "./turning.ts";

/** Returns the layer's record. */
export async function rollBackLayer(
	store: StoreContext,
	id: LayerId,
	{ to, keep, signal }: RollbackOptions,
): Promise<LayerRecord> {
	return await store.withLayer(id, async (record) => {
		mustBeWritable(record, "roll back");
		const over = targetOf(store, record, to);
		if (keep !== undefined) mustBeFree(store.database, keep);
		const next = nextDirectory(store);
		const checkpoint = { of: mountNameOf(record), auto: false };
		const sealed =
			keep === undefined ? undefined : sealedRecord(record, next, { id: keep, labels: {}, checkpoint });
		const later = laterThan(store, record, over);
		let gone: readonly LayerRecord[] = [];
		const also = (): void => {
			gone = deleteLoose(store, later);
		};
		try {
			await settleMount(store, record);
			const after = await turnLayer(store, record, next, { over, sealed, also, signal });
			store.deleteRemoved(gone.map(({ n }) => `layers/${n}`));
			if (sealed !== undefined) afterCheckpoint(store, sealed);
			return after;
		} catch (error) {
			throw storeFailure(error, `roll back layer "${id}"`, id);
		}
	});
}

/** @throws {LamellaError} `ENOTFOUND` */
function targetOf(store: StoreContext, record: LayerRecord, to: LayerId | undefined): LayerRecord {
	const of = mountNameOf(record);
	const target = to === undefined ? parentOf(store.database, record) : layerRecord(store.database, to);
	if (target?.checkpoint?.of === of) return target;
	const what = to === undefined ? "has no checkpoint" : `has no checkpoint "${to}"`;
	throw new LamellaError(
		"ENOTFOUND",
		`layer "${record.id}" ${what}; \`lamella log\` lists those that it has`,
		{
			layer: record.id,
		},
	);
}

/** The layer's checkpoints on the way from it down to `over`, nearest first. */
function laterThan(store: StoreContext, record: LayerRecord, over: LayerRecord): LayerRecord[] {
	const of = mountNameOf(record);
	const later: LayerRecord[] = [];
	let below = parentOf(store.database, record);
	while (below !== undefined && below.checkpoint?.of === of && below.depth > over.depth) {
		later.push(below);
		below = parentOf(store.database, below);
	}
	return later;
}
