/** Removal: the records in one transaction, those of checkpoints that go with a layer too, then the directories, outside of every lock. */
import type { StoreContext } from "../context.ts";
import type { LayerId, RemoveOptions, StoreTransaction } from "../contract.ts";
import { deleteLayers, mustBeChildless } from "../database/layers.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { deleteWithLayers } from "./loose-checkpoints.ts";
import { mustBeUnmounted } from "./mounting.ts";

export async function removeLayers(
	store: StoreContext,
	ids: readonly LayerId[],
	options: RemoveOptions,
): Promise<void> {
	const unique = [...new Set(ids)];
	const removed = await store.withLayers(unique, async (records) => {
		// Before anything is unmounted, and again in the transaction.
		mustBeChildless(store.database, records);
		for (const record of records) await mustBeUnmounted(store, record, "remove", { force: options.force });
		return await store.transaction(
			(transaction: StoreTransaction) => {
				deleteLayers(store.database, records);
				const gone = [...records, ...deleteWithLayers(store, records)];
				options.also?.(transaction);
				return gone;
			},
			{ durable: options.durable },
		);
	});
	crashPoint("remove:recorded");
	store.deleteRemoved(removed.map(({ n }) => `layers/${n}`));
}
