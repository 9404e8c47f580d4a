/** LayerStore: the contract, each operation handed to the file that does it. */
import { existsSync, readdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { LamellaError } from "../errors/index.ts";
import type { Change, DiffId, Usage } from "../layer/index.ts";
import * as linux from "../linux/index.ts";
import { checkStore } from "./checking/check-store.ts";
import { missingDirectory, type StoreContext } from "./context.ts";
import type {
	ImportedLayer,
	LayerId,
	LayerInfo,
	LayerStore,
	Records,
	ScratchDirectory,
	StoreStatus,
} from "./contract.ts";
import { type LayerRecord, mountNameOf } from "./database/layer-record.ts";
import { allLayers, layerRecord } from "./database/layers.ts";
import { recordsReader } from "./database/records-reader.ts";
import { documentsAt } from "./disk/documents.ts";
import { storeFailure } from "./failure.ts";
import { checkpointLayer } from "./operations/checkpoint.ts";
import { commitLayer } from "./operations/commit.ts";
import { comparing, diffStream } from "./operations/comparing.ts";
import { createLayer } from "./operations/create.ts";
import { flattenLayer } from "./operations/flattening.ts";
import { forkLayer } from "./operations/fork.ts";
import { importChain } from "./operations/importing.ts";
import { holdMount, mountHandle, releaseMount } from "./operations/mounting.ts";
import { removeLayers } from "./operations/remove.ts";
import { damagedLayers, repairLayer } from "./operations/repairing.ts";
import { rollBackLayer } from "./operations/rollback.ts";
import { readSubject } from "./operations/small-reads.ts";
import { snapshotLayer } from "./operations/snapshot.ts";
import { squashLayer } from "./operations/squash.ts";
import { layerUsage } from "./operations/usage.ts";
import { heldLayers } from "./processes/mount-holds.ts";
import { layerReader } from "./reading/layer-reader.ts";
import { recover } from "./recovery.ts";

/** The store over its parts. `close` releases them; it is called once. */
export function layerStore(store: StoreContext, close: () => Promise<void>): LayerStore {
	let closed: Promise<void> | undefined;
	const closeOnce = (): Promise<void> => {
		closed ??= close();
		return closed;
	};
	const read = (id: LayerId): LayerRecord => layerRecord(store.database, id);
	const change = async (id: LayerId, changed: (record: LayerRecord) => LayerRecord): Promise<LayerInfo> => {
		const after = await store.withLayer(id, (record) =>
			store.replaceRecord({ ...changed(record), updatedAtNs: linux.realtimeNs() }),
		);
		return store.infoOf(after);
	};
	return {
		...layerReader(store.layout, store.database),
		create: async (id, options = {}) => store.infoOf(await createLayer(store, id, options)),
		applyLayer: async (id, source, options = {}) => {
			const { parent, labels, idMaps, expectedDiffId, expectedBlobDigest, signal, onProgress } = options;
			const [layer] = await importChain(store, [{ id, source, labels, expectedDiffId, expectedBlobDigest }], {
				parent,
				idMaps,
				signal,
				onProgress: (_, doneBytes) => onProgress?.(doneBytes),
			});
			return withApplied(id, layer);
		},
		importChain: (layers, options = {}) => importChain(store, layers, options),
		damaged: (ids) => damagedLayers(store, ids),
		repair: (layer, options = {}) => repairLayer(store, layer, options),
		commit: async (key, name, options = {}) => store.infoOf(await commitLayer(store, key, name, options)),
		snapshot: async (from, name, options = {}) =>
			store.infoOf(await snapshotLayer(store, from, name, options)),
		checkpoint: async (id, options = {}) => store.infoOf(await checkpointLayer(store, id, options)),
		rollback: async (id, options = {}) => store.infoOf(await rollBackLayer(store, id, options)),
		fork: async (id, names, options = {}) =>
			(await forkLayer(store, id, names, options)).map((record) => store.infoOf(record)),
		squash: async (id, options = {}) => store.infoOf(await squashLayer(store, id, options)),
		remove: (id, options = {}) => removeLayers(store, [id], options),
		removeAll: (ids, options = {}) => removeLayers(store, ids, options),
		setLabels: (id, labels) =>
			change(id, (record) => ({
				...record,
				labels: typeof labels === "function" ? labels(record.labels) : labels,
			})),
		setDiffId: (id, diffId: DiffId) => change(id, (record) => ({ ...record, diffId })),
		mount: async (id, options = {}) => {
			options.signal?.throwIfAborted();
			return mountHandle(store, id, await holdMount(store, id, options));
		},
		unmount: (id, options = {}) => releaseMount(store, id, options),
		describeMounts: async (id) => {
			const record = read(id);
			const { kind, mountLabel } = record;
			const [layer, ...chain] = store.placesFrom(record);
			return [await store.driver.describeMount({ layer, chain, kind, mountLabel })];
		},
		paths: (id) => {
			const record = read(id);
			const [layer, ...chain] = store.placesFrom(record);
			return store.driver.paths(layer, chain);
		},
		check: (options = {}) => checkStore(store, options),
		keptTar: (id) => store.driver.keptTar(store.placesFrom(read(id))[0]),
		isUntouched: async (id) => {
			const record = read(id);
			if (record.parent === undefined) return false;
			const [layer, ...chain] = store.placesFrom(record);
			const seen = await store.driver.isUntouched(layer, chain);
			if (seen !== undefined) return seen;
			const changes = await comparing(store, id, {}, (subject) =>
				readSubject(store.jobs, "changes", subject, {}),
			);
			return changes.length === 0;
		},
		changes: async (id, options = {}): Promise<readonly Change[]> => {
			const changes = await comparing(store, id, options, (subject) =>
				readSubject(store.jobs, "changes", subject, options),
			);
			// A Buffer that came from a thread has become a plain Uint8Array.
			return changes.map(({ kind, path }) => ({
				kind,
				path: Buffer.from(path.buffer, path.byteOffset, path.length),
			}));
		},
		diff: (id, options = {}) => diffStream(store, id, options),
		diffSize: (id, options = {}) =>
			comparing(store, id, options, (subject) => readSubject(store.jobs, "diffSize", subject, options)),
		usage: (id, options = {}): Promise<Usage> => layerUsage(store, id, options),
		flatten: async (id, options = {}) => {
			try {
				return store.infoOf(await flattenLayer(store, id, options));
			} catch (error) {
				throw storeFailure(error, `flatten layer "${id}"`, id);
			}
		},
		documents: documentsAt(
			store.layout,
			() => store.stagedPath(),
			(digests) => store.discardDocuments(digests),
		),
		records: <T>(namespace: string) => recordsOf<T>(store, namespace),
		transaction: (work) => store.transaction(work),
		scratch: () => makeScratch(store),
		status: () => statusOf(store),
		notices: store.notices,
		cleanup: async () => {
			await recover(store);
			store.deleteNow();
			await store.background.begunSettled();
		},
		close: closeOnce,
		[Symbol.asyncDispose]: closeOnce,
	};
}

function withApplied(
	id: LayerId,
	layer: ImportedLayer | undefined,
): ImportedLayer & { applied: NonNullable<ImportedLayer["applied"]> } {
	const applied = layer?.applied;
	if (layer === undefined || applied === undefined) {
		throw new LamellaError("ENOTFOUND", `layer "${id}" was removed right after it was made`, { layer: id });
	}
	return { ...layer, applied };
}

function recordsOf<T>(store: StoreContext, namespace: string): Records<T> {
	return {
		...recordsReader<T>(store.database, namespace),
		put: (key, value, options) =>
			store.transaction(({ records }) => records<T>(namespace).put(key, value, options)),
		remove: (key) => store.transaction(({ records }) => records<T>(namespace).remove(key)),
	};
}

/** In the owner's staging, so that what a killed process leaves is swept like everything else there. */
async function makeScratch(store: StoreContext): Promise<ScratchDirectory> {
	const directory = store.stagedPath();
	await mkdir(directory, { mode: 0o700 });
	const remove = (): Promise<void> => Promise.resolve(store.discard(directory));
	return { path: directory, [Symbol.asyncDispose]: remove };
}

function statusOf(store: StoreContext): StoreStatus {
	const kinds = { active: 0, view: 0, committed: 0 };
	const problems: string[] = [];
	let mounted = 0;
	const layers = allLayers(store.database);
	const ids = new Set(layers.map(({ id }) => id));
	// Where layers/ itself is gone (a disk that is not mounted), all are missing.
	const directories = new Set(existsSync(store.layout.layers) ? readdirSync(store.layout.layers) : []);
	const held = new Set(heldLayers(store.layout));
	for (const record of layers) {
		kinds[record.kind] += 1;
		if (held.has(mountNameOf(record)) && store.infoOf(record).mountCount > 0) mounted += 1;
		if (!directories.has(record.n)) {
			problems.push(missingDirectory(store.layout, record));
		} else if (record.parent !== undefined && !ids.has(record.parent)) {
			problems.push(`layer "${record.id}" is over "${record.parent}", which the store does not have`);
		}
	}
	problems.push(...store.background.failures);
	return {
		root: store.layout.root,
		driver: store.driver.name,
		flattenPolicy: store.flattenPolicy,
		layers: kinds,
		mounted,
		details: [
			...store.driver.status(),
			...problems.map((problem): readonly [string, string] => ["Problem", problem]),
		],
	};
}
