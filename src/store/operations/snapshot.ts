/** Snapshot: the content of a layer becomes one more committed layer, made aside, flushed, renamed, recorded. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import path from "node:path";
import type { LayerPlace } from "../../driver/index.ts";
import type { DiffResult } from "../../layer/index.ts";
import * as linux from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import type { Freezer, LayerId, NameOfContent, SnapshotOptions } from "../contract.ts";
import type { Checkpoint, LayerRecord } from "../database/layer-record.ts";
import { committedParent, findLayer, insertLayer, layerRecord, mustBeFree } from "../database/layers.ts";
import { flush } from "../disk/flush.ts";
import { sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { flattenLater } from "./flattening.ts";
import { countUsageLater } from "./usage.ts";

/** A snapshot that is a checkpoint of the layer it is taken of. */
export interface LiveCheckpoint {
	readonly freezer: Freezer;
	readonly checkpoint: Checkpoint;
}

export async function snapshotLayer(
	store: StoreContext,
	from: LayerId,
	name: LayerId | NameOfContent,
	options: SnapshotOptions,
	live?: LiveCheckpoint,
): Promise<LayerRecord> {
	const { owner, database, driver, layout } = store;
	const { signal } = options;
	const source = layerRecord(database, from);
	const parent = source.parent === undefined ? undefined : committedParent(database, source.parent);
	if (typeof name === "string") mustBeFree(database, name);
	const n = owner.nextName();
	const stagedDirectory = path.join(owner.directory, n);
	const directory = path.join(layout.layers, n);
	try {
		mkdirSync(stagedDirectory, { mode: 0o710 });
		const [layer, ...chain] = store.placesFrom(source);
		// Nobody writes a committed layer, so its inodes can be shared.
		const copy = () => driver.copy(stagedDirectory, layer, { share: source.kind === "committed", signal });
		const form = live === undefined ? await copy() : await whileFrozen(live.freezer, copy);
		const staged = store.placeAt(stagedDirectory, { n, form });
		crashPoint("snapshot:staged");
		const diff = typeof name === "string" ? undefined : await digest(store, staged, chain, options);
		const nowNs = linux.realtimeNs();
		const record: LayerRecord = {
			id: typeof name === "string" ? name : await name(diff as DiffResult),
			n,
			parent: parent?.id,
			kind: "committed",
			form,
			labels: options.labels ?? {},
			createdAtNs: nowNs,
			updatedAtNs: nowNs,
			diffId: diff?.diffId ?? options.diffId,
			usage: source.usage,
			depth: source.depth,
			checkpoint: live?.checkpoint,
		};
		const sidecar = sidecarOf(staged.directory);
		await writeSidecar(sidecar, record);
		await driver.seal(staged, [sidecar, staged.directory], { signal });
		linux.renameat2(linux.AT_FDCWD, staged.directory, linux.AT_FDCWD, directory, linux.RENAME_NOREPLACE);
		await flush(layout.layers);
		crashPoint("snapshot:renamed");
		const kept = await store.transaction((transaction) => {
			const there = diff === undefined ? undefined : findLayer(database, record.id);
			const isKept = there?.kind === "committed" && there.parent === record.parent;
			if (!isKept) insertLayer(database, record, parent?.n);
			options.also?.(transaction);
			return isKept ? there : undefined;
		});
		crashPoint("snapshot:recorded");
		if (kept !== undefined) {
			store.discard(directory);
			return kept;
		}
		if (record.usage === undefined) countUsageLater(store, record);
		if (options.flatten !== false) flattenLater(store, record);
		return record;
	} catch (error) {
		store.takeBack(n);
		const what = typeof name === "string" ? `layer "${name}" of ` : "a snapshot of ";
		throw storeFailure(error, `make ${what}layer "${from}"`, from);
	}
}

async function whileFrozen<R>(freezer: Freezer, work: () => Promise<R>): Promise<R> {
	try {
		await freezer.freeze();
		return await work();
	} finally {
		// Also where freezing failed half way.
		await freezer.thaw();
	}
}

/** What the tar of a staged layer would be; nobody reads it. */
async function digest(
	store: StoreContext,
	staged: LayerPlace,
	chain: readonly LayerPlace[],
	{ signal, onProgress, skipUnsupported }: SnapshotOptions,
): Promise<DiffResult> {
	const fd = openSync("/dev/null", "w");
	try {
		await using held = await store.driver.hold(staged, chain);
		return await store.jobs.run(
			"diff",
			{ subject: held.subject, fd, skipUnsupported },
			{ signal, onProgress },
		);
	} finally {
		closeSync(fd);
	}
}
