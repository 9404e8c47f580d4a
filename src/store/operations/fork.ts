/** Fork: new writable layers over where another one is, or was. All of them are recorded in one transaction. */
import { mkdirSync, renameSync } from "node:fs";
import path from "node:path";
import * as linux from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import type { ForkOptions, LayerId } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { insertLayer, layerRecord, mustBeFree, parentOf } from "../database/layers.ts";
import { sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { afterCheckpoint, checkpointRecord } from "./checkpoint.ts";
import { baseOf } from "./create.ts";

export async function forkLayer(
	store: StoreContext,
	id: LayerId,
	names: readonly LayerId[],
	{ from, labels = {}, signal }: ForkOptions,
): Promise<LayerRecord[]> {
	for (const name of names) mustBeFree(store.database, name);
	const source = layerRecord(store.database, id);
	const base = from ?? (await whereItIs(store, id, signal)).id;
	const { parent, below } = await baseOf(store, base);
	const { owner, driver, layout } = store;
	const nowNs = linux.realtimeNs();
	const forks = names.map((name): LayerRecord => {
		const { mountLabel, idMaps } = source;
		return {
			id: name,
			n: owner.nextName(),
			parent: parent?.id,
			kind: "active",
			form: driver.form,
			labels,
			createdAtNs: nowNs,
			updatedAtNs: nowNs,
			depth: parent === undefined ? 0 : parent.depth + 1,
			mountLabel,
			idMaps,
		};
	});
	try {
		for (const fork of forks) {
			const staged = path.join(owner.directory, fork.n);
			mkdirSync(staged, { mode: 0o710 });
			await driver.prepare(staged, below, { kind: "active" });
			await writeSidecar(sidecarOf(staged), fork);
		}
		crashPoint("fork:staged");
		for (const { n } of forks) renameSync(path.join(owner.directory, n), path.join(layout.layers, n));
		crashPoint("fork:renamed");
		await store.transaction(
			() => {
				for (const fork of forks) insertLayer(store.database, fork, parent?.n);
			},
			{ durable: false },
		);
		crashPoint("fork:recorded");
	} catch (error) {
		for (const { n } of forks) store.takeBack(n);
		throw storeFailure(error, `fork layer "${id}"`, id);
	}
	// As of a layer that is created: a record that a power cut leaves without a directory is dropped.
	const written = forks.flatMap((fork) => [sidecarOf(store.directoryOf(fork)), store.directoryOf(fork)]);
	await Promise.all([store.database.flushed(), store.groupFlush.flush([...written, layout.layers])]);
	return forks;
}

/** The committed layer that has what the layer has now: a checkpoint, or what it stands on where it changed nothing. */
async function whereItIs(
	store: StoreContext,
	id: LayerId,
	signal: AbortSignal | undefined,
): Promise<LayerRecord> {
	const { base, isNew } = await store.withLayer(id, async (record) => {
		if (record.kind === "committed") return { base: record, isNew: false };
		const parent = parentOf(store.database, record);
		if (parent !== undefined) {
			const [layer, ...chain] = store.placesFrom(record);
			const isUntouched = record.kind === "view" || (await store.driver.isUntouched(layer, chain)) === true;
			if (isUntouched) return { base: parent, isNew: false };
		}
		try {
			return { base: await checkpointRecord(store, record, { signal }), isNew: true };
		} catch (error) {
			throw storeFailure(error, `make a checkpoint of layer "${id}"`, id);
		}
	});
	if (isNew) afterCheckpoint(store, base);
	return base;
}
