/** What the records say of layers: for the whole store, and alone for callers that only list. */
import path from "node:path";
import { isFlattened } from "../../driver/index.ts";
import { mountNamespace } from "../../linux/index.ts";
import type { LayerInfo, LayerReader } from "../contract.ts";
import type { Database } from "../database/database.ts";
import { type LayerRecord, mountNameOf } from "../database/layer-record.ts";
import {
	allLayers,
	chainOf,
	checkpointsOf,
	childrenOf,
	childrenOfEach,
	findLayer,
	layerRecord,
} from "../database/layers.ts";
import { recordsReader } from "../database/records-reader.ts";
import type { Layout } from "../disk/layout.ts";
import { holdsFile, readHold } from "../processes/mount-holds.ts";

export function layerReader(layout: Layout, database: Database): LayerReader {
	const shown = (record: LayerRecord): LayerInfo => layerInfo(layout, record);
	return {
		get: (id) => shown(layerRecord(database, id)),
		has: (id) => findLayer(database, id) !== undefined,
		list: () => allLayers(database).map(shown),
		chain: (id) => chainOf(database, layerRecord(database, id)).map(shown),
		children: (id) => childrenOf(database, layerRecord(database, id)),
		childrenOfEach: (ids) => childrenOfEach(database, ids),
		history: (id) => {
			const layer = layerRecord(database, id);
			const checkpoints = checkpointsOf(database, layer);
			const own = new Set([id, ...checkpoints.map((one) => one.id)]);
			return checkpoints.map((record) => {
				const forks = childrenOf(database, record).filter((child) => !own.has(child));
				return { ...shown(record), named: record.checkpoint?.auto === false, forks };
			});
		},
		records: <T>(namespace: string) => recordsReader<T>(database, namespace),
	};
}

/** A record as others see it. */
export function layerInfo(layout: Layout, record: LayerRecord): LayerInfo {
	const { n, mountName, mountLabel, idMaps, fold, checkpoints, checkpoint, ...shown } = record;
	const directory = path.join(layout.layers, n);
	let mountCount: number | undefined;
	return {
		...shown,
		flattened: isFlattened(record.form),
		directory,
		mountPoint: path.join(layout.mounts, mountNameOf(record)),
		// Looked up only when it is read: it asks the filesystem, and few callers want it.
		get mountCount() {
			mountCount ??= readHold(holdsFile(layout, record), mountNamespace())?.count ?? 0;
			return mountCount;
		},
	};
}
