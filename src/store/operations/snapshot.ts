/** Snapshot: the content of a layer becomes one more committed layer, made aside, flushed, renamed, recorded. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import * as linux from "../../linux/index.ts";
import { flush, type StoreContext } from "../context.ts";
import type { LayerId, SnapshotOptions } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { committedParent, insertLayer, layerRecord, mustBeFree } from "../database/layers.ts";
import { sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { flattenLater } from "./flattening.ts";

export async function snapshotLayer(
	store: StoreContext,
	from: LayerId,
	name: LayerId,
	{ labels = {}, diffId, flatten = true, signal }: SnapshotOptions,
): Promise<LayerRecord> {
	const { owner, database, driver, layout } = store;
	const source = layerRecord(database, from);
	const parent = source.parent === undefined ? undefined : committedParent(database, source.parent);
	mustBeFree(database, name);
	const n = owner.nextName();
	const staged = path.join(owner.directory, n);
	const directory = path.join(layout.layers, n);
	const nowNs = linux.realtimeNs();
	const record: LayerRecord = {
		id: name,
		n,
		parent: parent?.id,
		kind: "committed",
		form: driver.form,
		labels,
		createdAtNs: nowNs,
		updatedAtNs: nowNs,
		diffId,
		usage: source.usage,
		depth: source.depth,
	};
	try {
		mkdirSync(staged, { mode: 0o710 });
		// Nobody writes a committed layer, so its inodes can be shared.
		const [layer] = store.placesFrom(source);
		await driver.copy(staged, layer, { share: source.kind === "committed", signal });
		crashPoint("snapshot:staged");
		writeSidecar(sidecarOf(staged), record);
		await driver.seal({ directory: staged, form: record.form }, [sidecarOf(staged), staged], { signal });
		linux.renameat2(linux.AT_FDCWD, staged, linux.AT_FDCWD, directory, linux.RENAME_NOREPLACE);
		await flush(layout.layers);
		crashPoint("snapshot:renamed");
		await store.transaction(() => insertLayer(database, record, parent?.n));
		crashPoint("snapshot:recorded");
	} catch (error) {
		store.discard(staged);
		store.discard(directory);
		throw storeFailure(error, `make layer "${name}" of layer "${from}"`, from);
	}
	if (flatten) flattenLater(store, record);
	return record;
}
