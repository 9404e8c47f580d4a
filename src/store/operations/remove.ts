/** Removal: the records in one transaction, then the directories, outside of every lock. */
import type { StoreContext } from "../context.ts";
import type { LayerId, RemoveOptions, StoreTransaction } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { deleteLayer, layerRecord, mustBeChildless } from "../database/layers.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { mustBeUnmounted } from "./mounting.ts";

/** A child has to come before its parent. */
export async function removeLayers(
	store: StoreContext,
	ids: readonly LayerId[],
	options: RemoveOptions,
): Promise<void> {
	const unique = [...new Set(ids)];
	const removed = await withLocked(store, unique, options, async (locked) => {
		await store.transaction(
			(transaction: StoreTransaction) => {
				for (const id of unique) deleteLayer(store.database, layerRecord(store.database, id));
				options.also?.(transaction);
			},
			{ durable: options.durable },
		);
		return locked;
	});
	crashPoint("remove:recorded");
	store.deleteRemoved(removed.map(({ n }) => `layers/${n}`));
}

/** Takes the locks one within the other, always in the order of the ids: two removals never wait for each other. */
async function withLocked<R>(
	store: StoreContext,
	ids: readonly LayerId[],
	{ force }: RemoveOptions,
	work: (locked: readonly LayerRecord[]) => Promise<R>,
): Promise<R> {
	const order = [...ids].sort();
	const locked: LayerRecord[] = [];
	const next = async (): Promise<R> => {
		const id = order[locked.length];
		if (id === undefined) return await work(locked);
		return await store.withLayer(id, async (record) => {
			if (order.length === 1) mustBeChildless(store.database, record);
			await mustBeUnmounted(store, record, "remove", { force });
			locked.push(record);
			return await next();
		});
	};
	return await next();
}
