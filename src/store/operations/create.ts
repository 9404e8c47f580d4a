/** Making a writable layer or a view: made aside, renamed into place, recorded, flushed. */
import { mkdir, rename } from "node:fs/promises";
import path from "node:path";
import type { LayerPlace } from "../../driver/index.ts";
import * as linux from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import type { CreateOptions, LayerId } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { committedParent, insertLayer, mustBeFree } from "../database/layers.ts";
import { sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { flattenLayer, HARD_DEPTH } from "./flattening.ts";

export async function createLayer(
	store: StoreContext,
	id: LayerId,
	options: CreateOptions,
): Promise<LayerRecord> {
	const { kind = "active", durable = true, idMaps, mountLabel } = options;
	const { owner, database, driver, layout } = store;
	mustBeFree(database, id);
	const { parent, below } = await baseOf(store, options.parent);
	const n = owner.nextName();
	const staged = path.join(owner.directory, n);
	const directory = path.join(layout.layers, n);
	const nowNs = linux.realtimeNs();
	const record: LayerRecord = {
		id,
		n,
		parent: parent?.id,
		kind,
		form: driver.form,
		labels: options.labels ?? {},
		createdAtNs: nowNs,
		updatedAtNs: nowNs,
		depth: parent === undefined ? 0 : parent.depth + 1,
		mountLabel,
		idMaps,
	};
	try {
		await mkdir(staged, { mode: 0o710 });
		const mapped = parent === undefined || options.idMappedBelow === true;
		await driver.prepare(staged, below, { kind, idMaps: mapped ? idMaps : undefined });
		await writeSidecar(sidecarOf(staged), record);
		crashPoint("create:staged");
		await rename(staged, directory);
		crashPoint("create:renamed");
		await store.transaction(() => insertLayer(database, record, parent?.n), { durable: false });
		crashPoint("create:recorded");
	} catch (error) {
		store.takeBack(n);
		throw storeFailure(error, `create layer "${id}"`, id);
	}
	// Side by side, so that one commit of the filesystem's journal is enough for all. A record that a power cut leaves without
	// a directory is dropped by recovery.
	if (durable) {
		const written = [sidecarOf(directory), directory, layout.layers];
		await Promise.all([database.flushed(), store.groupFlush.flush(written)]);
	}
	return record;
}

/** The parent that a new layer will have, and the places that it stands on. */
export async function baseOf(
	store: StoreContext,
	id: LayerId | undefined,
): Promise<{ parent: LayerRecord | undefined; below: readonly LayerPlace[] }> {
	if (id === undefined) return { parent: undefined, below: [] };
	const parent = committedParent(store.database, id);
	const below = store.placesOver(parent);
	if (store.driver.mergeDepth(below) <= HARD_DEPTH) return { parent, below };
	// overlayfs takes 500 lowers at most, so this is done whatever the policy.
	const flattened = await flattenLayer(store, parent.id, {});
	return { parent: flattened, below: store.placesOver(flattened) };
}
