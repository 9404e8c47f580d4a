/**
 * When layers get a `root/`, and how: hard-linked aside in staging, flushed, renamed into the layer, recorded.
 * The policies: `always` before a layer is usable, `auto` in the background once a chain is deep,
 * `never` only where overlayfs could not mount the chain.
 */

import path from "node:path";
import { isFlattened, type MadeRoot } from "../../driver/index.ts";
import { LamellaError } from "../../errors/index.ts";
import type { StoreContext } from "../context.ts";
import type { LayerId, OperationOptions } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { layerRecord } from "../database/layers.ts";
import { flush } from "../disk/flush.ts";
import { crashPoint } from "../processes/crash-point.ts";

/** `auto` flattens a committed layer whose mount would merge more diffs than this. */
export const AUTO_DEPTH = 24;
/** Beyond this a layer is flattened whatever the policy: overlayfs takes 500 lowers (OVL_MAX_STACK). */
export const HARD_DEPTH = 400;

/** Flattens a committed layer; returns its record with `flattened`. */
export async function flattenLayer(
	store: StoreContext,
	id: LayerId,
	options: OperationOptions,
): Promise<LayerRecord> {
	const seen = layerRecord(store.database, id);
	if (seen.kind !== "committed") {
		throw new LamellaError(
			"EKIND",
			`layer "${id}" is ${seen.kind}; only a committed layer can be flattened`,
			{
				layer: id,
			},
		);
	}
	const { flattening } = store.driver;
	if (flattening === undefined || isFlattened(seen.form)) return seen;
	const staged = store.stagedPath();
	try {
		const [layer, ...chain] = store.placesFrom(seen);
		const made = await flattening.make(layer, chain, staged, { ...options, sync: true });
		const { form } = made;
		crashPoint("flatten:staged");
		return await store.withLayer(id, async (record) => {
			if (record.n !== seen.n)
				throw new LamellaError("ENOTFOUND", `layer "${id}" was removed while it was flattened`, {
					layer: id,
				});
			if (isFlattened(record.form)) return record;
			const directory = store.directoryOf(record);
			flattening.place(directory, staged, form);
			await flush(directory);
			crashPoint("flatten:renamed");
			const after = await store.replaceRecord({ ...record, form, fold: foldOf(made) });
			crashPoint("flatten:recorded");
			return after;
		});
	} finally {
		// Still there only where another process was faster, or something failed.
		store.discard(staged);
	}
}

/** What a layer's record says of the fold that was made for it. */
export function foldOf({ over, entries }: MadeRoot): LayerRecord["fold"] {
	return over === undefined ? undefined : { over: path.basename(over.directory), entries };
}

/** Call it after a layer was committed or imported: with the policy `auto` a deep chain is flattened in the background. */
export function flattenLater(store: StoreContext, record: LayerRecord): void {
	if (isFlattened(record.form) || store.flattenPolicy !== "auto") return;
	if (store.driver.mergeDepth(store.placesOver(record)) <= AUTO_DEPTH) return;
	store.background.run(`flatten layer "${record.id}"`, async () => {
		try {
			await flattenLayer(store, record.id, { signal: store.closing });
		} catch (error) {
			// It was removed meanwhile, or the store closes. The next commit on top of it asks again.
			if (!(error instanceof LamellaError && (error.code === "ENOTFOUND" || error.code === "EABORTED"))) {
				throw error;
			}
		}
	});
}
