/** LayerStore: the contract, each operation handed to the file that does it. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { LamellaError } from "../errors/index.ts";
import type { Change, DiffId, Usage } from "../layer/index.ts";
import { chainOf, childrenOf, layerRecord } from "./catalog.ts";
import { commitLayer } from "./commit.ts";
import { comparing, diffStream } from "./comparing.ts";
import type {
	ImportedLayer,
	LayerId,
	LayerInfo,
	LayerStore,
	Records,
	ScratchDirectory,
	StoreStatus,
} from "./contract.ts";
import { createLayer } from "./create.ts";
import { storeFailure } from "./failure.ts";
import { flattenLayer } from "./flattening.ts";
import { importChain } from "./importing.ts";
import { holdMount, mountHandle, releaseMount } from "./mounting.ts";
import { recordPath } from "./records.ts";
import { recover } from "./recovery.ts";
import { removeLayers } from "./remove.ts";
import type { LayerRecord } from "./schema.ts";
import { readSubject } from "./small-reads.ts";
import type { StoreContext } from "./store-context.ts";
import { layerUsage } from "./usage.ts";

/** The store over its parts. `close` lets go of them, once. */
export function layerStore(store: StoreContext, close: () => Promise<void>): LayerStore {
	let closed: Promise<void> | undefined;
	const closeOnce = (): Promise<void> => {
		closed ??= close();
		return closed;
	};
	const read = (id: LayerId): LayerRecord => layerRecord(store.meta, id);
	const change = async (id: LayerId, changed: (record: LayerRecord) => LayerRecord): Promise<LayerInfo> => {
		const after = await store.withLayer(id, (record) =>
			store.replaceRecord(record, { ...changed(record), updatedAtMs: Date.now() }),
		);
		return store.infoOf(after);
	};
	return {
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
		commit: async (key, name, options = {}) => store.infoOf(await commitLayer(store, key, name, options)),
		remove: (id, options = {}) => removeLayers(store, [id], options),
		removeAll: (ids, options = {}) => removeLayers(store, ids, options),
		get: (id) => store.infoOf(read(id)),
		has: (id) => store.meta.get("layers", id) !== undefined,
		*list() {
			for (const [, record] of store.meta.entries<LayerRecord>("layers")) yield store.infoOf(record);
		},
		setLabels: (id, labels) =>
			change(id, (record) => ({
				...record,
				labels: typeof labels === "function" ? labels(record.labels) : labels,
			})),
		setDiffId: (id, diffId: DiffId) => change(id, (record) => ({ ...record, diffId })),
		chain: (id) => chainOf(store.meta, read(id)).map((record) => store.infoOf(record)),
		children: (id) => childrenOf(store.meta, read(id)),
		mount: async (id, options = {}) => {
			options.signal?.throwIfAborted();
			return mountHandle(store, id, await holdMount(store, id, options));
		},
		unmount: (id, options = {}) => releaseMount(store, id, options),
		describeMounts: (id) => {
			const record = read(id);
			const { kind, mountLabel } = record;
			const layer = store.placeOf(record);
			return [store.driver.describeMount({ layer, chain: store.placesBelow(record), kind, mountLabel })];
		},
		changes: async (id, options = {}): Promise<readonly Change[]> => {
			const changes = await comparing(store, id, options, (subject) =>
				readSubject(store.jobs, "changes", subject, options),
			);
			// A Buffer that crossed from a thread is a plain Uint8Array.
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
		records: <T>(namespace: string) => recordsOf<T>(store, namespace),
		transaction: (work) => store.transaction(work),
		scratch: () => makeScratch(store),
		status: () => statusOf(store),
		cleanup: async () => {
			await recover(store);
			store.deleteTrashNow();
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
		throw new LamellaError("ENOTFOUND", `layer "${id}" was removed meanwhile`, { layer: id });
	}
	return { ...layer, applied };
}

function recordsOf<T>(store: StoreContext, namespace: string): Records<T> {
	const prefix = recordPath(namespace, "");
	return {
		get: (key) => store.meta.get<T>("records", recordPath(namespace, key)),
		*list() {
			for (const [key, value] of store.meta.entries<T>("records", prefix)) {
				yield [key.slice(prefix.length), value];
			}
		},
		put: (key, value) => store.transaction(({ records }) => records<T>(namespace).put(key, value)),
		remove: (key) => store.transaction(({ records }) => records<T>(namespace).remove(key)),
	};
}

/** In the owner's staging, so that what a killed process leaves is swept like everything else there. */
async function makeScratch(store: StoreContext): Promise<ScratchDirectory> {
	const directory = path.join(store.owner.directory, store.owner.nextName());
	await mkdir(directory, { mode: 0o700 });
	const remove = (): Promise<void> => Promise.resolve(store.discard(directory));
	return { path: directory, [Symbol.asyncDispose]: remove };
}

function statusOf(store: StoreContext): StoreStatus {
	const layers = { active: 0, view: 0, committed: 0 };
	const problems: string[] = [];
	let mounted = 0;
	for (const [, record] of store.meta.entries<LayerRecord>("layers")) {
		layers[record.kind] += 1;
		if (store.infoOf(record).mountCount > 0) mounted += 1;
		if (!existsSync(store.directoryOf(record))) {
			problems.push(
				`layer "${record.id}" is recorded, but its directory ${store.directoryOf(record)} is gone`,
			);
		} else if (record.parent !== undefined && store.meta.get("layers", record.parent) === undefined) {
			problems.push(`layer "${record.id}" is over "${record.parent}", which the store does not have`);
		}
	}
	problems.push(...store.background.failures);
	return {
		root: store.layout.root,
		driver: store.driver.name,
		flattenPolicy: store.flattenPolicy,
		layers,
		mounted,
		details: [
			...store.driver.status(),
			...problems.map((problem): readonly [string, string] => ["Problem", problem]),
		],
	};
}
