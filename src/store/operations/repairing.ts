/**
 * Repair: the content of a committed layer is taken once more from the tar that it came from, where a look at the layer finds that
 * something of it is missing or was changed. The record stays as it is, and so do those of the layers above.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import type { LayerPlace } from "../../driver/index.ts";
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import type { ChainLayer, LayerId, RepairOptions } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { childrenOf, layerRecord } from "../database/layers.ts";
import { flush } from "../disk/flush.ts";
import { sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { applyAll, type Coming, placeOf } from "./applying.ts";

/** What a look at a committed layer finds wrong; undefined where all is as it was. */
export function damageOf(store: StoreContext, record: LayerRecord): string | undefined {
	const { repair } = store.driver;
	if (repair === undefined || record.kind !== "committed") return undefined;
	try {
		store.mustBeThere([record]);
		repair.look(store.placeOf(record));
		return undefined;
	} catch (error) {
		if (isLamellaError(error, "ECORRUPT")) return error.message;
		throw error;
	}
}

/** Those of `ids` that a look finds damaged. */
export function damagedLayers(store: StoreContext, ids: readonly LayerId[]): LayerId[] {
	return ids.filter((id) => damageOf(store, layerRecord(store.database, id)) !== undefined);
}

/** Call it for the layers below first. */
export async function repairLayer(
	store: StoreContext,
	layer: ChainLayer,
	options: RepairOptions,
): Promise<void> {
	const record = layerRecord(store.database, layer.id);
	const below = [...store.placesBelow(record)];
	const n = store.owner.nextName();
	const staged = path.join(store.owner.directory, n);
	const coming: Coming = { index: 0, layer, n, staged, digestAside: false };
	try {
		const { signal, onProgress } = options;
		await applyAll(store, [coming], below, { signal, onProgress: (_, bytes) => onProgress?.(bytes) });
		const isSame = record.diffId === undefined || record.diffId === coming.applied?.diffId;
		if (coming.form !== record.form || !isSame) throw cannotRepair(record, damageOf(store, record));
		await writeSidecar(sidecarOf(staged), record);
		await store.driver.sealApplied([placeOf(store, coming)], [sidecarOf(staged), staged], { signal });
		crashPoint("repair:sealed");
		await store.withLayer(layer.id, async (now) => {
			// Somebody else removed it, or was faster.
			if (now.n !== record.n || damageOf(store, now) === undefined) return;
			await put(store, staged, now);
		});
	} catch (error) {
		throw storeFailure(error, `repair layer "${layer.id}"`, layer.id);
	} finally {
		store.takeBack(n);
	}
}

async function put(store: StoreContext, staged: string, record: LayerRecord): Promise<void> {
	const place = store.placeOf(record);
	store.driver.repair?.forget([place, ...placesAbove(store, record)]);
	crashPoint("repair:forgotten");
	if (existsSync(place.directory)) {
		store.driver.repair?.place(staged, place, () => crashPoint("repair:moved"));
		crashPoint("repair:placed");
		await flush(place.directory);
		return;
	}
	linux.renameat2(linux.AT_FDCWD, staged, linux.AT_FDCWD, place.directory, linux.RENAME_NOREPLACE);
	crashPoint("repair:placed");
	await flush(store.layout.layers);
}

function* placesAbove(store: StoreContext, record: LayerRecord): Generator<LayerPlace> {
	for (const id of childrenOf(store.database, record)) {
		const child = layerRecord(store.database, id);
		yield store.placeOf(child);
		yield* placesAbove(store, child);
	}
}

function cannotRepair({ id, form }: LayerRecord, damage: string | undefined): LamellaError {
	const why = damage === undefined ? "" : ` (${damage})`;
	return new LamellaError(
		"ECORRUPT",
		`layer "${id}" is damaged${why}, and what the archive has does not fit its form (${form}); remove the layer, and import its image again`,
		{ layer: id },
	);
}
