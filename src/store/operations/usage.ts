/** Disk use. A committed layer's is counted once and recorded, that of others each time. */
import { isLamellaError } from "../../errors/index.ts";
import type { Usage } from "../../layer/index.ts";
import type { StoreContext } from "../context.ts";
import type { LayerId, OperationOptions } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { layerAt, layerRecord, replaceLayer } from "../database/layers.ts";

/** Counting waits this long, so as not to slow down work that goes on with the layer right after its commit. */
const COUNT_DELAY_MS = 200;

export async function layerUsage(
	store: StoreContext,
	id: LayerId,
	options: OperationOptions,
): Promise<Usage> {
	const record = layerRecord(store.database, id);
	if (record.usage !== undefined) return record.usage;
	const usage = await count(store, record, options);
	if (record.kind === "committed") await recordUsage(store, record, usage);
	return usage;
}

/** Counts a layer that was just committed, off the critical path. */
export function countUsageLater(store: StoreContext, record: LayerRecord): void {
	store.background.later(`count layer "${record.id}"`, COUNT_DELAY_MS, async () => {
		const now = layerAt(store.database, record.n);
		if (now === undefined || now.usage !== undefined) return;
		try {
			await recordUsage(store, record, await count(store, record, { signal: store.closing }));
		} catch (error) {
			// It was removed meanwhile, or the store closes. It is then counted when somebody asks.
			if (isLamellaError(error, "ENOTFOUND") || isLamellaError(error, "EABORTED")) return;
			if (layerAt(store.database, record.n) === undefined) return;
			throw error;
		}
	});
}

async function count(store: StoreContext, record: LayerRecord, options: OperationOptions): Promise<Usage> {
	return await store.driver.usage(store.placeOf(record), options);
}

/** A count that is lost is made again, so nothing is flushed for it, and no sidecar has it. */
async function recordUsage(store: StoreContext, seen: LayerRecord, usage: Usage): Promise<void> {
	await store.transaction(
		() => {
			const record = layerAt(store.database, seen.n);
			if (record?.kind !== "committed" || record.usage !== undefined) return;
			replaceLayer(store.database, { ...record, usage });
		},
		{ durable: false },
	);
}
