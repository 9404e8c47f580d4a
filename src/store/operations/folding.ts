/**
 * Keeps what is mounted over a long line of checkpoints short: every eighth one gets a fold, in the background, which stands
 * for several below it. How far down a fold reaches goes by size, as in a log-structured merge: it takes in the folds below as
 * long as they are no larger than twice what it has, or small. So a line has few lowers, and each file is linked few times.
 *
 * A fold is a view: names, parents and forks stay as they are.
 */
import { LamellaError } from "../../errors/index.ts";
import type { StoreContext } from "../context.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { layerAt } from "../database/layers.ts";
import { flush } from "../disk/flush.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { foldOf, HARD_DEPTH } from "./flattening.ts";

/** A fold is made when a mount would merge so many checkpoints without one. */
export const FOLD_AFTER = 8;
/** A fold with no more entries than this is always taken into the next one. */
const SMALL_ENTRIES = 512;
/** What a checkpoint without a fold is taken to have. */
const PLAIN_ENTRIES = 16;

/** Call it after a checkpoint was made: one that many others stand below is folded in the background. */
export function foldLater(store: StoreContext, checkpoint: LayerRecord): void {
	if (store.flattenPolicy === "never" || store.driver.flattening === undefined) return;
	const count = foldable(store, checkpoint);
	if (count < FOLD_AFTER) return;
	store.background.run(`fold layer "${checkpoint.id}"`, async () => {
		try {
			await foldLayer(store, checkpoint, count, store.closing);
		} catch (error) {
			// It was removed meanwhile, or the store closes. The next checkpoint asks again.
			const isLater = error instanceof LamellaError && ["ENOTFOUND", "EABORTED"].includes(error.code);
			if (!isLater && layerAt(store.database, checkpoint.n) !== undefined) throw error;
		}
	});
}

/** Before one more layer is put over a chain that is as long as overlayfs takes, whatever the policy. */
export async function foldNow(
	store: StoreContext,
	parent: LayerRecord,
	signal: AbortSignal | undefined,
): Promise<void> {
	if (store.driver.flattening === undefined) return;
	if (store.driver.mergeDepth(store.placesOver(parent)) < HARD_DEPTH) return;
	await foldLayer(store, parent, foldable(store, parent), signal);
}

/** How many of the places that a mount over the checkpoint needs its fold is to stand for; 0 where none is to be made. */
function foldable(store: StoreContext, checkpoint: LayerRecord): number {
	if (checkpoint.fold !== undefined || checkpoint.checkpoint === undefined) return 0;
	let plain = 0;
	let entries = 0;
	let count = 0;
	for (const layer of store.chains.of(checkpoint)) {
		if (layer.checkpoint === undefined) break;
		if (layer.fold === undefined) {
			plain += 1;
			entries += PLAIN_ENTRIES;
		} else {
			if (plain < FOLD_AFTER) return 0;
			if (layer.fold.entries > Math.max(SMALL_ENTRIES, 2 * entries)) break;
			entries += layer.fold.entries;
		}
		count += 1;
	}
	return plain < FOLD_AFTER ? 0 : count;
}

async function foldLayer(
	store: StoreContext,
	seen: LayerRecord,
	count: number,
	signal: AbortSignal | undefined,
): Promise<void> {
	const { flattening } = store.driver;
	if (flattening === undefined || count < 2) return;
	const staged = store.stagedPath();
	try {
		const [layer, ...chain] = store.placesFrom(seen);
		const made = await flattening.make(layer, chain, staged, { fold: count, sync: true, signal });
		crashPoint("fold:staged");
		const current = layerAt(store.database, seen.n);
		if (current === undefined) return;
		await store.withLayer(current.id, async (record) => {
			if (record.n !== seen.n || record.fold !== undefined) return;
			const directory = store.directoryOf(record);
			for (const stale of flattening.stale(store.placeOf(record))) store.discard(stale);
			flattening.place(directory, staged, made.form);
			await flush(directory);
			crashPoint("fold:renamed");
			await store.replaceRecord({ ...record, form: made.form, fold: foldOf(made) });
			crashPoint("fold:recorded");
		});
	} finally {
		store.discard(staged);
	}
}
