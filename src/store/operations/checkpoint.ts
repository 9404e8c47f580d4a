/** Checkpoint: what a writable layer has becomes a committed layer, and the layer goes on over it, at the same path. */
import { mkdirSync, renameSync } from "node:fs";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import type { StoreContext } from "../context.ts";
import type { CheckpointOptions, Freezer, LayerId } from "../contract.ts";
import { type LayerRecord, mountNameOf } from "../database/layer-record.ts";
import {
	findLayer,
	insertLayer,
	layerRecord,
	mustBeFree,
	parentOf,
	replaceLayer,
} from "../database/layers.ts";
import { flush } from "../disk/flush.ts";
import { sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { foldLater, foldNow } from "./folding.ts";
import { settleMount } from "./mounting.ts";
import { snapshotLayer } from "./snapshot.ts";
import { nextDirectory, sealedRecord, turnLayer } from "./turning.ts";
import { countUsageLater } from "./usage.ts";

/** Returns the checkpoint. */
export async function checkpointLayer(
	store: StoreContext,
	id: LayerId,
	options: CheckpointOptions,
): Promise<LayerRecord> {
	if (options.live !== undefined) return await liveCheckpoint(store, id, options.live, options);
	const checkpoint = await store.withLayer(id, async (record) => {
		try {
			return await checkpointRecord(store, record, options);
		} catch (error) {
			throw storeFailure(error, `make a checkpoint of layer "${id}"`, id);
		}
	});
	afterCheckpoint(store, checkpoint);
	return checkpoint;
}

/** What is done with a new checkpoint when nobody waits for it any more. */
export function afterCheckpoint(store: StoreContext, checkpoint: LayerRecord): void {
	countUsageLater(store, checkpoint);
	foldLater(store, checkpoint);
}

/** A copy of what the layer changed, which goes on over the parent that it has. */
async function liveCheckpoint(
	store: StoreContext,
	id: LayerId,
	freezer: Freezer,
	{ as, labels, signal }: CheckpointOptions,
): Promise<LayerRecord> {
	const seen = layerRecord(store.database, id);
	mustBeWritable(seen, "checkpoint");
	const checkpoint = { of: mountNameOf(seen), auto: as === undefined };
	const also = (): void => {
		const record = layerRecord(store.database, id);
		replaceLayer(store.database, { ...record, checkpoints: (record.checkpoints ?? 0) + 1 });
	};
	const name = as ?? freeName(store, seen);
	return await snapshotLayer(
		store,
		id,
		name,
		{ labels, signal, flatten: false, also },
		{ freezer, checkpoint },
	);
}

/** Call it with the layer's lock. */
export async function checkpointRecord(
	store: StoreContext,
	record: LayerRecord,
	{ as, labels = {}, signal }: CheckpointOptions,
): Promise<LayerRecord> {
	mustBeWritable(record, "checkpoint");
	if (as !== undefined) mustBeFree(store.database, as);
	await settleMount(store, record);
	const next = nextDirectory(store);
	const sealed = sealedRecord(record, next, {
		id: as ?? freeName(store, record),
		labels,
		checkpoint: { of: mountNameOf(record), auto: as === undefined },
	});
	if (store.driver.sealing === undefined) return await copyBelow(store, record, sealed, { signal });
	const parent = parentOf(store.database, record);
	if (parent !== undefined) await foldNow(store, parent, signal);
	await turnLayer(store, record, next, { sealed, signal });
	return sealed;
}

/**
 * Where a writable layer is handed out as a directory: a copy of it becomes the checkpoint, in the directory `next`. It is
 * the caller's to see that nobody writes meanwhile.
 */
async function copyBelow(
	store: StoreContext,
	record: LayerRecord,
	sealed: LayerRecord,
	{ signal }: { readonly signal: AbortSignal | undefined },
): Promise<LayerRecord> {
	const { database, layout, driver, owner } = store;
	const { mountName: n = "", ...kept } = sealed;
	const copy: LayerRecord = { ...kept, n };
	const staged = path.join(owner.directory, n);
	const directory = path.join(layout.layers, n);
	try {
		mkdirSync(staged, { mode: 0o710 });
		const form = await driver.copy(staged, store.placeOf(record), { share: false, signal });
		await writeSidecar(sidecarOf(staged), copy);
		await driver.seal(store.placeAt(staged, { n, form }), [sidecarOf(staged), staged], { signal });
		crashPoint("turn:staged");
		renameSync(staged, directory);
		await flush(layout.layers);
		crashPoint("turn:renamed");
		const after = {
			...record,
			parent: copy.id,
			depth: copy.depth + 1,
			checkpoints: (record.checkpoints ?? 0) + 1,
		};
		const parent = parentOf(database, record);
		await store.replaceRecord(after, flush, () => {
			insertLayer(database, copy, parent?.n);
			replaceLayer(database, after, n);
		});
		return copy;
	} catch (error) {
		store.takeBack(n);
		throw error;
	}
}

/** @throws {LamellaError} `EKIND` */
export function mustBeWritable({ id, kind }: LayerRecord, doing: string): void {
	if (kind === "active") return;
	const hint = kind === "view" ? "a view has nothing of its own" : "it never changes, so it is one itself";
	throw new LamellaError("EKIND", `layer "${id}" is ${kind}: there is nothing to ${doing}, for ${hint}`, {
		layer: id,
	});
}

/** `<layer>@<number>`: the next number that no layer has, and that is not about to be given (`promised`). */
export function freeName(
	store: StoreContext,
	{ id, checkpoints = 0 }: LayerRecord,
	promised?: LayerId,
): LayerId {
	for (let number = checkpoints + 1; ; number++) {
		const name = `${id}@${number}` as LayerId;
		if (name !== promised && findLayer(store.database, name) === undefined) return name;
	}
}
