/**
 * When layers get a `root/`, and how: hard-linked aside in staging, flushed, renamed into the layer, recorded.
 * The policies are in DESIGN.md: `always` before a layer is usable, `auto` in the background once a chain is deep,
 * `never` only where overlayfs could not mount the chain.
 */
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import type { LayerPlace } from "../driver/index.ts";
import { LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";
import { chainOf, layerRecord, unflattenedDepth } from "./catalog.ts";
import type { LayerId, OperationOptions } from "./contract.ts";
import { crashPoint } from "./crash-point.ts";
import { errnoOf } from "./failure.ts";
import type { LayerRecord } from "./schema.ts";
import { flush, type StoreContext } from "./store-context.ts";

/** `auto` flattens a committed layer whose mount would merge more diffs than this. */
export const AUTO_DEPTH = 24;
/** Beyond this a layer is flattened whatever the policy: overlayfs takes 500 lowers (OVL_MAX_STACK). */
export const HARD_DEPTH = 400;

/** Makes the whole tree of `layer` over `chain` (nearest first) in the empty directory `target`. */
export async function makeRoot(
	store: StoreContext,
	{
		layer,
		chain,
		target,
		sync,
	}: { layer: LayerPlace; chain: readonly LayerPlace[]; target: string; sync: boolean },
	options: OperationOptions,
): Promise<void> {
	const subject = store.driver.diffSubject(layer, chain);
	if (subject.form !== "upper") {
		throw new LamellaError(
			"ENOTSUPPORTED",
			`the ${store.driver.name} driver's layers are whole trees already`,
		);
	}
	mkdirSync(target, { mode: 0o755 });
	await store.jobs.run(
		"flatten",
		{ lowers: [subject.upper, ...subject.lowers], target, xattrPrefix: subject.xattrPrefix, sync },
		options,
	);
}

/** Flattens a committed layer; returns its record with `flattened`. */
export async function flattenLayer(
	store: StoreContext,
	id: LayerId,
	options: OperationOptions,
): Promise<LayerRecord> {
	const seen = layerRecord(store.meta, id);
	if (seen.kind !== "committed") {
		throw new LamellaError(
			"EKIND",
			`layer "${id}" is ${seen.kind}; only a committed layer can be flattened`,
			{
				layer: id,
			},
		);
	}
	if (seen.flattened || !store.driver.flattens) return seen;
	const staged = path.join(store.owner.directory, store.owner.nextName());
	try {
		const place = store.placeOf(seen);
		const chain = store.placesBelow(seen);
		await makeRoot(store, { layer: place, chain, target: staged, sync: true }, options);
		crashPoint("flatten:staged");
		return await store.withLayer(id, async (record) => {
			if (record.n !== seen.n)
				throw new LamellaError("ENOTFOUND", `layer "${id}" was removed`, { layer: id });
			if (record.flattened) return record;
			await placeRoot(store, record, staged);
			crashPoint("flatten:renamed");
			const after = await store.replaceRecord(record, { ...record, flattened: true });
			crashPoint("flatten:recorded");
			return after;
		});
	} finally {
		// Where another process was faster, or something failed; nothing is there otherwise.
		store.discard(staged);
	}
}

/** Renames a finished root into a committed layer. One that is there was finished by somebody who then died. */
async function placeRoot(store: StoreContext, record: LayerRecord, staged: string): Promise<void> {
	const directory = store.directoryOf(record);
	const root = path.join(directory, "root");
	try {
		linux.renameat2(linux.AT_FDCWD, staged, linux.AT_FDCWD, root, linux.RENAME_NOREPLACE);
	} catch (error) {
		if (errnoOf(error) !== "EEXIST") throw error;
	}
	await flush(directory);
}

/** The policy's say after a layer was committed or imported: `auto` may flatten it in the background. */
export function flattenLater(store: StoreContext, record: LayerRecord): void {
	if (!store.driver.flattens || record.flattened || store.flattenPolicy !== "auto") return;
	if (unflattenedDepth([record, ...chainOf(store.meta, record)]) <= AUTO_DEPTH) return;
	store.background.run(`flatten layer "${record.id}"`, async () => {
		try {
			await flattenLayer(store, record.id, { signal: store.closing });
		} catch (error) {
			// Removed meanwhile, or the store closes: the next commit on top of it asks again.
			if (!(error instanceof LamellaError && (error.code === "ENOTFOUND" || error.code === "EABORTED"))) {
				throw error;
			}
		}
	});
}

/** Takes away a root that a commit which was cut short left in a layer that then went on being written. */
export function discardStaleRoot(store: StoreContext, record: LayerRecord): void {
	// Where layers are whole trees (vfs) `root/` is the layer itself.
	if (!store.driver.flattens) return;
	const root = path.join(store.directoryOf(record), "root");
	if (existsSync(root)) store.discard(root);
}
