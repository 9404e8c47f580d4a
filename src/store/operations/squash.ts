/**
 * Squash: the checkpoints of a writable layer become one layer, which has what they changed and the last one's name. Those
 * that have a name or forks stay as they are, beside it.
 *
 * It is made aside, without the layer's lock. A layer that is not mounted then gets it as its parent, and nothing else of it
 * changes. A mounted layer turns to a new directory (turning.ts), because its mount has to stand on the new layer.
 */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import path from "node:path";
import type { LayerPlace } from "../../driver/index.ts";
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import type { LayerId, OperationOptions } from "../contract.ts";
import { type LayerRecord, mountNameOf } from "../database/layer-record.ts";
import {
	childrenOf,
	deleteLayer,
	insertLayer,
	layerAt,
	layerRecord,
	parentOf,
	replaceLayer,
} from "../database/layers.ts";
import { flush } from "../disk/flush.ts";
import { sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { afterCheckpoint, freeName, mustBeWritable } from "./checkpoint.ts";
import { deleteLoose } from "./loose-checkpoints.ts";
import { settleMount } from "./mounting.ts";
import { nextDirectory, sealedRecord, turnLayer } from "./turning.ts";

/** A layer's checkpoints, newest first, and what they stand on. */
interface Line {
	readonly layers: readonly [LayerRecord, ...LayerRecord[]];
	readonly base: LayerRecord | undefined;
}

/** Returns the one checkpoint that the layer then stands on. */
export async function squashLayer(
	store: StoreContext,
	id: LayerId,
	{ signal }: OperationOptions,
): Promise<LayerRecord> {
	const { owner, layout } = store;
	const seen = layerRecord(store.database, id);
	mustBeWritable(seen, "squash");
	const line = lineOf(store, seen);
	const [last] = line.layers;
	if (line.layers.length === 1) return last;
	const n = owner.nextName();
	const staged = path.join(owner.directory, n);
	const directory = path.join(layout.layers, n);
	try {
		mkdirSync(staged, { mode: 0o710 });
		const form = await merge(store, staged, line, signal);
		crashPoint("squash:merged");
		return await store.withLayer(id, async (record) => {
			await settleMount(store, record);
			if (parentOf(store.database, record)?.n !== last.n) throw changedMeanwhile(id);
			const isFree = childrenOf(store.database, last).length === 1 && !existsSync(store.holdsOf(last));
			const squashed: LayerRecord = {
				id: isFree ? last.id : freeName(store, record),
				n,
				parent: line.base?.id,
				kind: "committed",
				form,
				labels: last.labels,
				createdAtNs: last.createdAtNs,
				updatedAtNs: linux.realtimeNs(),
				depth: line.base === undefined ? 0 : line.base.depth + 1,
				idMaps: record.idMaps,
				checkpoint: { of: mountNameOf(record), auto: isFree ? last.checkpoint?.auto !== false : true },
			};
			await writeSidecar(sidecarOf(staged), squashed);
			await store.driver.seal(store.placeAt(staged, squashed), [sidecarOf(staged), staged], { signal });
			renameSync(staged, directory);
			await flush(layout.layers);
			crashPoint("squash:renamed");
			await putBelow(store, record, { line, squashed, isFree, signal });
			return squashed;
		});
	} catch (error) {
		store.takeBack(n);
		throw storeFailure(error, `squash layer "${id}"`, id);
	}
}

/** @throws {LamellaError} `ENOTFOUND` */
function lineOf(store: StoreContext, record: LayerRecord): Line {
	const of = mountNameOf(record);
	const layers: LayerRecord[] = [];
	let below = parentOf(store.database, record);
	while (below?.checkpoint?.of === of) {
		layers.push(below);
		below = parentOf(store.database, below);
	}
	const [last, ...others] = layers;
	if (last !== undefined) return { layers: [last, ...others], base: below };
	throw new LamellaError(
		"ENOTFOUND",
		`layer "${record.id}" has no checkpoint, so there is nothing to squash`,
		{
			layer: record.id,
		},
	);
}

async function merge(
	store: StoreContext,
	staged: string,
	{ layers, base }: Line,
	signal: AbortSignal | undefined,
): Promise<LayerRecord["form"]> {
	const { flattening } = store.driver;
	const [last] = layers;
	// Whole trees: the last one has it all.
	if (flattening === undefined) {
		return await store.driver.copy(staged, store.placeOf(last), { share: true, signal });
	}
	const places: LayerPlace[] = [];
	const lowest = layers.at(-1) ?? last;
	let left = Number.POSITIVE_INFINITY;
	for (const layer of layers) {
		// Below one with a fold: in it already.
		if (layer.depth > left) continue;
		const foldBase = layer.fold === undefined ? undefined : layerAt(store.database, layer.fold.over);
		const isWithin = foldBase !== undefined && foldBase.depth >= lowest.depth - 1;
		if (isWithin) left = foldBase.depth;
		places.push({ ...store.placeOf(layer), form: isWithin ? layer.form : store.driver.form });
	}
	return await flattening.merge(staged, places, base === undefined ? [] : store.placesOver(base), { signal });
}

interface Squashed {
	readonly line: Line;
	readonly squashed: LayerRecord;
	/** Nobody else stands on the last checkpoint: the new layer takes its place and its name. */
	readonly isFree: boolean;
	readonly signal: AbortSignal | undefined;
}

/** Records the new layer, and the writable one over it. Call it with the lock. */
async function putBelow(
	store: StoreContext,
	record: LayerRecord,
	{ line, squashed, isFree, signal }: Squashed,
): Promise<void> {
	const { database, driver } = store;
	const [last] = line.layers;
	let gone: LayerRecord[] = [];
	// Until the last checkpoint is gone, its name is taken.
	const unnamed = { ...squashed, id: `${squashed.id}+${squashed.n}` as LayerId };
	const first = (): string => {
		insertLayer(database, unnamed, line.base?.n);
		return squashed.n;
	};
	const also = (): void => {
		gone = [];
		if (isFree) {
			if (childrenOf(database, last).length > 0) throw changedMeanwhile(record.id);
			deleteLayer(database, last);
			gone.push(last);
		}
		gone.push(...deleteLoose(store, isFree ? line.layers.slice(1) : line.layers));
		replaceLayer(database, squashed);
	};
	const depth = squashed.depth + 1;
	if (driver.sealing === undefined || !driver.isMounted(store.placeOf(record))) {
		const after = { ...record, parent: squashed.id, depth, checkpoints: (record.checkpoints ?? 0) + 1 };
		await store.replaceRecord(after, flush, () => {
			replaceLayer(database, after, first());
			also();
		});
	} else {
		const [layer, ...below] = store.placesFrom(record);
		const isUntouched = (await driver.isUntouched(layer, below)) === true;
		const next = nextDirectory(store);
		const chain = [store.placeOf(squashed), ...(line.base === undefined ? [] : store.placesOver(line.base))];
		const labels = {};
		const checkpoint = { of: mountNameOf(record), auto: true };
		const kept = { ...record, parent: squashed.id, depth };
		const sealed = isUntouched
			? undefined
			: sealedRecord(kept, next, { id: freeName(store, record, squashed.id), labels, checkpoint });
		const under = sealed === undefined ? chain : [store.placeOf(sealed), ...chain];
		await turnLayer(store, record, next, {
			over: sealed ?? squashed,
			sealed,
			chain: under,
			first,
			also,
			signal,
		});
		if (sealed !== undefined) afterCheckpoint(store, sealed);
	}
	crashPoint("squash:recorded");
	store.deleteRemoved(gone.map(({ n }) => `layers/${n}`));
}

function changedMeanwhile(id: LayerId): LamellaError {
	return new LamellaError(
		"EBUSY",
		`a checkpoint of layer "${id}" was made, forked or removed while its history was being squashed; try again`,
		{ layer: id },
	);
}
