/** Making a writable layer or a view: made aside, renamed into place, flushed, recorded. */
import { chmodSync, chownSync, mkdirSync, statSync } from "node:fs";
import path from "node:path";
import { type IdMaps, toHost } from "../idmap/index.ts";
import * as linux from "../linux/index.ts";
import { chainOf, committedParent, insertLayer, mustBeFree, unflattenedDepth } from "./catalog.ts";
import type { CreateOptions, LayerId } from "./contract.ts";
import { crashPoint } from "./crash-point.ts";
import { storeFailure } from "./failure.ts";
import { flattenLayer, HARD_DEPTH } from "./flattening.ts";
import type { LayerRecord } from "./schema.ts";
import { SIDECAR, writeEarlySidecar, writeSidecar } from "./sidecar.ts";
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
	const spare = options.early === true && kind === "active" ? store.spares.take() : undefined;
	const n = spare ?? store.owner.nextName();
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
		if (spare === undefined) mkdirSync(staged, { mode: 0o710 });
		await store.driver.prepare(staged, below, { kind, ahead: spare !== undefined });
		if (parent === undefined || options.idMappedBelow === true) {
			giveToMapped(store, staged, options.idMaps);
		}
		if (options.early === true) return recordEarly(store, { record, staged, directory, parentN: parent?.n });
		await writeSidecar(staged, record);
		crashPoint("create:staged");
		linux.renameat2(linux.AT_FDCWD, staged, linux.AT_FDCWD, directory, linux.RENAME_NOREPLACE);
		// After the rename, so that one commit of the filesystem's journal is enough for all.
		await flushLayer(store, directory);
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

async function flushLayer(store: StoreContext, directory: string): Promise<void> {
	await Promise.all(pathsOf(store, directory).map(flush));
}

/** What makes a layer durable that is empty yet. */
function pathsOf(store: StoreContext, directory: string): string[] {
	return [path.join(directory, SIDECAR), directory, store.layout.layers];
}

/**
 * Puts the layer in its place and shows it; what makes it durable goes on in the background. The sidecar says that
 * the layer was given away before it was recorded, so that recovery records it where a kill comes between.
 */
function recordEarly(
	store: StoreContext,
	{
		record,
		staged,
		directory,
		parentN,
	}: { record: LayerRecord; staged: string; directory: string; parentN: string | undefined },
): LayerRecord {
	writeEarlySidecar(staged, record);
	crashPoint("create:staged");
	linux.renameat2(linux.AT_FDCWD, staged, linux.AT_FDCWD, directory, linux.RENAME_NOREPLACE);
	crashPoint("create:renamed");
	const recorded = store.meta.early(
		[record.id],
		(meta) => insertLayer(meta, record, parentN),
		() => ({ trees: [], paths: pathsOf(store, directory) }),
	);
	store.background.run(`record layer "${record.id}"`, async () => {
		try {
			await recorded;
			crashPoint("create:recorded");
		} catch (error) {
			store.discard(directory);
			throw error;
		}
	});
	return record;
}

/** A container with an ID map finds its own numbers on the root directory that the new layer brings. */
function giveToMapped(store: StoreContext, staged: string, idMaps: IdMaps | undefined): void {
	if (idMaps === undefined) return;
	for (const own of store.driver.ownDirectories({ directory: staged, flattened: false })) {
		const { uid, gid, mode } = statSync(own);
		chownSync(own, toHost(uid, idMaps.uids), toHost(gid, idMaps.gids));
		chmodSync(own, mode & 0o7777);
	}
}
