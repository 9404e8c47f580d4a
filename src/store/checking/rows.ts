/** The layers' rows of the database: whether each can be read, and whether the chain that they make is one. */
import path from "node:path";
import type { StoreContext } from "../context.ts";
import type { LayerId } from "../contract.ts";
import { formatLayerRecord, type LayerRecord, parseLayerRecord } from "../database/layer-record.ts";
import { findLayer, layerAt } from "../database/layers.ts";
import { readSidecar } from "../disk/sidecar.ts";
import { setLayerAside } from "../recovery.ts";
import type { Found } from "./finding.ts";

interface Row {
	readonly n: string;
	readonly id: string;
	readonly parent: string | null;
	readonly record: string;
}

export function* checkRows(store: StoreContext): Generator<Found> {
	const rows = store.database.all<Row>("SELECT n, id, parent, record FROM layers");
	for (const row of rows) {
		const problem = problemOf(row);
		if (problem !== undefined) yield damaged(store, row, problem);
	}
	for (const { n } of rows) {
		const record = readable(store, n);
		if (record !== undefined) yield* checkParent(store, record);
	}
}

function problemOf({ n, id, record: text }: Row): string | undefined {
	try {
		const record = parseLayerRecord(text);
		if (record.n !== n) return "it is that of another directory";
		return record.id === id ? undefined : `it is that of the layer "${record.id}"`;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}

function damaged(store: StoreContext, { n, id }: Row, problem: string): Found {
	const { database, layout } = store;
	const directory = path.join(layout.layers, n);
	const sidecar = readSidecar(directory);
	const found = {
		layer: id as LayerId,
		path: directory,
		message: `the record of layer "${id}" (layers/${n}) in the database is damaged: ${problem}`,
	};
	if (sidecar?.n !== n) {
		return { ...found, kind: "record-lost", repair: () => giveUp(store, n) };
	}
	const update = "UPDATE layers SET id = ?, record = ? WHERE n = ?";
	return {
		...found,
		kind: "record-damaged",
		repair: () => store.transaction(() => database.run(update, sidecar.id, formatLayerRecord(sidecar), n)),
	};
}

/** Layers over it stay, and are told as without a parent. */
async function giveUp(store: StoreContext, n: string): Promise<void> {
	await store.transaction(() => {
		store.database.run("UPDATE layers SET parent = NULL WHERE parent = ?", n);
		store.database.run("DELETE FROM layers WHERE n = ?", n);
	});
	setLayerAside(store.layout, n);
}

function readable(store: StoreContext, n: string): LayerRecord | undefined {
	try {
		return layerAt(store.database, n);
	} catch {
		// It was told as damaged.
		return undefined;
	}
}

function* checkParent(store: StoreContext, record: LayerRecord): Generator<Found> {
	const { id, parent, depth } = record;
	if (parent === undefined) return;
	const below = findLayer(store.database, parent);
	if (below === undefined) {
		yield {
			kind: "parent-missing",
			layer: id,
			message: `layer "${id}" is over "${parent}", which the store does not have`,
		};
	} else if (depth !== below.depth + 1) {
		yield {
			kind: "depth-wrong",
			layer: id,
			message: `layer "${id}" says that ${depth} layers are below it, and "${parent}", which it is over, that ${below.depth} are below that`,
			repair: () =>
				store.withLayer(id, async (now) => {
					const underneath = findLayer(store.database, parent);
					if (underneath !== undefined) await store.replaceRecord({ ...now, depth: underneath.depth + 1 });
				}),
		};
	}
}
