/** One layer, without reading its content: its directory, its sidecar, the parts that its form consists of. */
import { existsSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { LayerProblem } from "../../driver/index.ts";
import { LamellaError } from "../../errors/index.ts";
import { missingDirectory, type StoreContext } from "../context.ts";
import { type LayerRecord, mountNameOf } from "../database/layer-record.ts";
import {
	childrenOf,
	deleteLayer,
	findLayer,
	layerAt,
	layerRecord,
	replaceLayer,
} from "../database/layers.ts";
import { readSidecar, sidecarOf } from "../disk/sidecar.ts";
import { heldLayers } from "../processes/mount-holds.ts";
import type { Found } from "./finding.ts";

/** Empty where the layer is gone by now. */
export async function checkLayer(store: StoreContext, seen: LayerRecord): Promise<Found[]> {
	// Not by its id: another layer may have that by now. And with the lock: a change of it takes two steps.
	return await store.locks.with(store.directoryOf(seen), async () => {
		const record = layerAt(store.database, seen.n);
		if (record === undefined) return [];
		const directory = store.directoryOf(record);
		if (!existsSync(directory)) return [dataMissing(store, record)];
		const found = [...checkSidecar(store, record)];
		for (const problem of store.driver.look(store.placeOf(record)))
			found.push(partFound(store, record, problem));
		return found;
	});
}

function dataMissing(store: StoreContext, record: LayerRecord): Found {
	const { id, n, kind } = record;
	const path = store.directoryOf(record);
	if (kind === "committed" || childrenOf(store.database, record).length > 0) {
		return { kind: "data-missing", layer: id, path, message: missingDirectory(store.layout, record) };
	}
	return {
		kind: "writable-lost",
		layer: id,
		path,
		message: `the directory of layer "${id}" is gone (${path})`,
		repair: () =>
			store.transaction(() => {
				if (layerAt(store.database, n) !== undefined) deleteLayer(store.database, record);
			}),
	};
}

function* checkSidecar(store: StoreContext, record: LayerRecord): Generator<Found> {
	const directory = store.directoryOf(record);
	const file = sidecarOf(directory);
	const layer = record.id;
	const repair = (): Promise<unknown> =>
		store.withLayer(layer, async (now) => {
			if (now.n === record.n) await store.replaceRecord(now);
		});
	const sidecar = readSidecar(directory);
	if (sidecar === undefined) {
		const [kind, what] = existsSync(file)
			? (["sidecar-damaged", "is damaged"] as const)
			: (["sidecar-missing", "is missing"] as const);
		yield { kind, layer, path: file, message: `${file} of layer "${layer}" ${what}`, repair };
		return;
	}
	const fields = differing(sidecar, record);
	if (fields.length === 0) return;
	if (sidecar.n === record.n && sidecar.updatedAtNs > record.updatedAtNs) {
		yield outdated(store, record, sidecar);
		return;
	}
	const message = `${file} of layer "${layer}" says another ${fields.join(", ")} than the database`;
	yield { kind: "sidecar-differs", layer, path: file, message, repair };
}

/** A sidecar never says what was never recorded. */
function outdated(store: StoreContext, record: LayerRecord, sidecar: LayerRecord): Found {
	const { id, n } = record;
	const was = sidecar.id === id ? "" : ` (it is "${sidecar.id}" by now)`;
	return {
		kind: "record-outdated",
		layer: id,
		message: `what the database has of layer "${id}" (layers/${n}) is older than its layer.json${was}`,
		repair: () =>
			store.transaction(() => {
				const parent = sidecar.parent === undefined ? undefined : findLayer(store.database, sidecar.parent);
				replaceLayer(store.database, sidecar, parent?.n);
			}),
	};
}

function differing(sidecar: LayerRecord, record: LayerRecord): string[] {
	const fields = new Set([...Object.keys(sidecar), ...Object.keys(record)]) as Set<keyof LayerRecord>;
	// A count is recorded in the database alone, and rows.ts looks at the depth.
	for (const field of ["usage", "depth"] as const) fields.delete(field);
	return [...fields].filter((field) => !isDeepStrictEqual(sidecar[field], record[field]));
}

/** What the driver found wrong with a layer. */
export function partFound(
	store: StoreContext,
	record: LayerRecord,
	{ kind, path, message }: LayerProblem,
): Found {
	const { id } = record;
	const found = { kind, layer: id, path, message: `layer "${id}": ${message}` };
	if (!kind.startsWith("derived-")) return found;
	return { ...found, repair: () => dropDerived(store, record) };
}

/** Takes away what can be made again of a layer, and records that it is gone. */
async function dropDerived(store: StoreContext, { id, n }: LayerRecord): Promise<void> {
	await store.withLayer(id, async (record) => {
		if (record.n !== n) return;
		const place = store.placeOf(record);
		mustNotBeStoodOn(store, record);
		const form = store.driver.withoutDerived(record.form);
		if (form !== record.form) await store.replaceRecord({ ...record, form, fold: undefined });
		store.driver.dropDerived(place, (directory) => store.discard(directory));
	});
}

/** A holder of the mount goes on reading what was derived. @throws {LamellaError} `EBUSY` */
function mustNotBeStoodOn(store: StoreContext, record: LayerRecord): void {
	const held = new Set(heldLayers(store.layout));
	const above = [record];
	for (let layer = above.pop(); layer !== undefined; layer = above.pop()) {
		if (held.has(mountNameOf(layer))) {
			throw new LamellaError("EBUSY", `layer "${layer.id}" is mounted and stands on it; unmount it first`, {
				layer: layer.id,
			});
		}
		above.push(...childrenOf(store.database, layer).map((id) => layerRecord(store.database, id)));
	}
}
