/** Removal: the records first, then the directories to trash, then the deleting, outside of every lock. */
import { deleteLayer, layerRecord, mustBeChildless } from "./catalog.ts";
import type { LayerId, RemoveOptions } from "./contract.ts";
import { crashPoint } from "./crash-point.ts";
import { storeFailure } from "./failure.ts";
import type { MetaTransaction } from "./meta-store.ts";
import { mustBeUnmounted } from "./mounting.ts";
import type { PendingWork } from "./pending.ts";
import type { LayerRecord } from "./schema.ts";
import type { StoreContext } from "./store-context.ts";

export async function removeLayers(
	store: StoreContext,
	ids: readonly LayerId[],
	options: RemoveOptions,
): Promise<void> {
	const named = ids.map((id) => `"${id}"`).join(", ");
	await store.background.answering<void>(`remove layer ${named}`, async (answer) => {
		await withLocked(store, ids, options, (locked) => removeLocked(store, ids, locked, { options, answer }));
		answer();
	});
}

/** Takes the locks one within the other, always in the order of the ids: two removals never wait for each other. */
async function withLocked(
	store: StoreContext,
	ids: readonly LayerId[],
	options: RemoveOptions,
	work: (locked: readonly LayerRecord[]) => Promise<void>,
): Promise<void> {
	const order = [...new Set(ids)].sort();
	const locked: LayerRecord[] = [];
	const next = async (): Promise<void> => {
		const id = order[locked.length];
		if (id === undefined) return await work(locked);
		await store.withLayer(
			id,
			async (record) => {
				if (order.length === 1) mustBeChildless(store.meta, record);
				mustBeUnmounted(store, record, "remove", { force: options.force });
				locked.push(record);
				await next();
			},
			{ early: isEarly(options) },
		);
	};
	await next();
}

function isEarly({ early, also }: RemoveOptions): boolean {
	return early === true && also === undefined;
}

interface Removal {
	readonly options: RemoveOptions;
	/** Called as soon as the removal is answered, where that is before its end. */
	readonly answer: () => void;
}

async function removeLocked(
	store: StoreContext,
	ids: readonly LayerId[],
	locked: readonly LayerRecord[],
	{ options, answer }: Removal,
): Promise<void> {
	const [only] = locked;
	if (isEarly(options) && locked.length === 1 && only !== undefined && store.meta.forget(only.id)) {
		// Nobody but this process ever knew of it.
		store.discard(store.directoryOf(only));
		return;
	}
	const works = locked.map(({ n }): PendingWork => `trash/${n}`);
	const deleteAll = (meta: MetaTransaction): void => {
		for (const id of new Set(ids)) deleteLayer(meta, layerRecord(meta, id));
	};
	let tokens: readonly string[] = [];
	if (isEarly(options)) {
		const recorded = store.meta.early(ids, (meta) => {
			deleteAll(meta);
			tokens = works.map((work) => store.pending.note(meta, work));
		});
		answer();
		await recorded;
	} else {
		tokens = await store.transaction((transaction) => {
			deleteAll(transaction.meta);
			options.also?.(transaction);
			return works.map((work) => transaction.note(work));
		});
	}
	crashPoint("remove:recorded");
	for (const [index, record] of locked.entries()) {
		try {
			const trashed = store.moveToTrash(store.directoryOf(record));
			crashPoint("remove:renamed");
			const work = works[index];
			const token = tokens[index];
			if (work !== undefined && token !== undefined) {
				store.doneOnceFlushed(work, token, [store.layout.layers, store.layout.trash]);
			}
			if (trashed !== undefined) store.deleteTrash(trashed);
		} catch (error) {
			throw storeFailure(error, `remove layer "${record.id}"`, record.id);
		}
	}
}
