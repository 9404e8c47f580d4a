/** Removal: the records in one transaction, those of checkpoints that go with a layer too, then the directories, outside of every lock. */
import type { StoreContext } from "../context.ts";
import type { LayerId, RemoveOptions, StoreTransaction } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { deleteLayer, layerRecord, mustBeChildless } from "../database/layers.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { deleteWithLayer } from "./loose-checkpoints.ts";
import { mustBeUnmounted } from "./mounting.ts";

/** A child has to come before its parent. */
export async function removeLayers(
	store: StoreContext,
	ids: readonly LayerId[],
	options: RemoveOptions,
): Promise<void> {
	const unique = [...new Set(ids)];
	const gone: LayerRecord[] = [];
	const removed = await withLocked(store, unique, options, async () => {
		await store.transaction(
			(transaction: StoreTransaction) => {
				gone.splice(0);
				for (const id of unique) {
					const record = layerRecord(store.database, id);
					deleteLayer(store.database, record);
					gone.push(record, ...deleteWithLayer(store, record));
				}
				options.also?.(transaction);
			},
			{ durable: options.durable },
		);
		return gone;
	});
	crashPoint("remove:recorded");
	store.deleteRemoved(removed.map(({ n }) => `layers/${n}`));
}

/** Takes the locks one within the other, always in the order of the ids: two removals never wait for each other. */
async function withLocked<R>(
	store: StoreContext,
	ids: readonly LayerId[],
	{ force }: RemoveOptions,
	work: () => Promise<R>,
): Promise<R> {
	const order = [...ids].sort();
	let locked = 0;
	const next = async (): Promise<R> => {
		const id = order[locked];
		if (id === undefined) return await work();
		return await store.withLayer(id, async (record) => {
			if (order.length === 1) mustBeChildless(store.database, record);
			await mustBeUnmounted(store, record, "remove", { force });
			locked += 1;
			return await next();
		});
	};
	return await next();
}
