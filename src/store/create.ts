/** Making a writable layer or a view: made aside, renamed into place, flushed, recorded. */
import { chownSync, mkdirSync } from "node:fs";
import path from "node:path";
import type { IdMaps } from "../idmap/index.ts";
import * as linux from "../linux/index.ts";
import { chainOf, committedParent, insertLayer, mustBeFree, unflattenedDepth } from "./catalog.ts";
import type { CreateOptions, LayerId } from "./contract.ts";
import { crashPoint } from "./crash-point.ts";
import { storeFailure } from "./failure.ts";
import { flattenLayer, HARD_DEPTH } from "./flattening.ts";
import type { LayerRecord } from "./schema.ts";
import { SIDECAR, writeSidecar } from "./sidecar.ts";
import { flush, type StoreContext } from "./store-context.ts";

export async function createLayer(
	store: StoreContext,
	id: LayerId,
	options: CreateOptions,
): Promise<LayerRecord> {
	const kind = options.kind ?? "active";
	mustBeFree(store.meta, id);
	let parent = options.parent === undefined ? undefined : committedParent(store.meta, options.parent);
	if (parent !== undefined && store.driver.flattens) {
		const depth = unflattenedDepth([parent, ...chainOf(store.meta, parent)]);
		// overlayfs takes 500 lowers: from some depth on the policy has no say.
		if (depth > HARD_DEPTH) parent = await flattenLayer(store, parent.id, {});
	}
	const below = parent === undefined ? [] : [store.placeOf(parent), ...store.placesBelow(parent)];
	const n = store.owner.nextName();
	const staged = path.join(store.owner.directory, n);
	const directory = path.join(store.layout.layers, n);
	const nowMs = Date.now();
	const record: LayerRecord = {
		id,
		n,
		parent: parent?.id,
		kind,
		labels: options.labels ?? {},
		createdAtMs: nowMs,
		updatedAtMs: nowMs,
		flattened: false,
		depth: parent === undefined ? 0 : parent.depth + 1,
		mountLabel: options.mountLabel,
		idMaps: options.idMaps,
	};
	try {
		mkdirSync(staged, { mode: 0o710 });
		await store.driver.prepare(staged, below, kind);
		if (parent === undefined) giveToMappedRoot(store, staged, options.idMaps);
		await writeSidecar(staged, record);
		crashPoint("create:staged");
		linux.renameat2(linux.AT_FDCWD, staged, linux.AT_FDCWD, directory, linux.RENAME_NOREPLACE);
		// After the rename, so that one commit of the filesystem's journal is enough for all.
		await Promise.all([flush(path.join(directory, SIDECAR)), flush(directory), flush(store.layout.layers)]);
		crashPoint("create:renamed");
		await store.transaction(({ meta }) => insertLayer(meta, record, parent?.n));
		crashPoint("create:recorded");
		return record;
	} catch (error) {
		store.discard(staged);
		store.discard(directory);
		throw storeFailure(error, `create layer "${id}"`, id);
	}
}

/** A container with an ID map finds its own root as owner of an empty layer's root. */
function giveToMappedRoot(store: StoreContext, staged: string, idMaps: IdMaps | undefined): void {
	const uid = idMaps?.uids.find(({ containerId }) => containerId === 0)?.hostId;
	const gid = idMaps?.gids.find(({ containerId }) => containerId === 0)?.hostId;
	if (uid === undefined && gid === undefined) return;
	for (const own of store.driver.ownDirectories({ directory: staged, flattened: false })) {
		chownSync(own, uid ?? 0, gid ?? 0);
	}
}
