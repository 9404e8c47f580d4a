/** Removal: the records first, then the directories to trash, then the deleting, outside of every lock. */
import { deleteLayer, layerRecord, mustBeChildless } from "./catalog.ts";
import type { LayerId, RemoveOptions } from "./contract.ts";
import { crashPoint } from "./crash-point.ts";
import { storeFailure } from "./failure.ts";
import { mustBeUnmounted } from "./mounting.ts";
import type { LayerRecord } from "./schema.ts";
import type { StoreContext } from "./store-context.ts";

export async function removeLayers(
	store: StoreContext,
	ids: readonly LayerId[],
	options: RemoveOptions,
): Promise<void> {
	const locked: LayerRecord[] = [];
	// The locks nest: always in the order of the ids, so that two removals cannot wait for each other.
	const order = [...new Set(ids)].sort();
	const withLocks = async (index: number): Promise<void> => {
		const id = order[index];
		if (id === undefined) return await removeLocked(store, ids, locked, options);
		await store.withLayer(id, async (record) => {
			if (order.length === 1) mustBeChildless(store.meta, record);
			mustBeUnmounted(store, record, "remove", { force: options.force });
			locked.push(record);
			await withLocks(index + 1);
		});
	};
	await withLocks(0);
}

async function removeLocked(
	store: StoreContext,
	ids: readonly LayerId[],
	locked: readonly LayerRecord[],
	{ also }: RemoveOptions,
): Promise<void> {
	// The transaction has to see children that were made early.
	await store.meta.recorded();
	const tokens = await store.transaction((transaction) => {
		for (const id of new Set(ids)) deleteLayer(transaction.meta, layerRecord(transaction.meta, id));
		also?.(transaction);
		return locked.map(({ n }) => transaction.note(`trash/${n}`));
	});
	crashPoint("remove:recorded");
	for (const [index, record] of locked.entries()) {
		try {
			const trashed = store.moveToTrash(store.directoryOf(record));
			crashPoint("remove:renamed");
			const token = tokens[index];
			if (token !== undefined) store.pending.done(`trash/${record.n}`, token);
			if (trashed !== undefined) store.deleteTrash(trashed);
		} catch (error) {
			throw storeFailure(error, `remove layer "${record.id}"`, record.id);
		}
	}
}
