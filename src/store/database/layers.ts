/** The layers' rows: lookups, chains, and the changes that keep parents and children right. */
import { LamellaError } from "../../errors/index.ts";
import type { LayerId } from "../contract.ts";
import type { Database } from "./database.ts";
import { formatLayerRecord, type LayerRecord, mountNameOf, parseLayerRecord } from "./layer-record.ts";

interface Row {
	readonly n: string;
	readonly record: string;
}

export function findLayer(database: Database, id: LayerId): LayerRecord | undefined {
	return recordOf(database.get<Row>("SELECT n, record FROM layers WHERE id = ?", id));
}

/** The layer whose directory is `layers/<n>`. */
export function layerAt(database: Database, n: string): LayerRecord | undefined {
	return recordOf(database.get<Row>("SELECT n, record FROM layers WHERE n = ?", n));
}

/** @throws {LamellaError} `ENOTFOUND` */
export function layerRecord(database: Database, id: LayerId): LayerRecord {
	const record = findLayer(database, id);
	if (record === undefined) throw new LamellaError("ENOTFOUND", `there is no layer "${id}"`, { layer: id });
	return record;
}

/** In the order of `ids`. @throws {LamellaError} `ENOTFOUND` */
export function layerRecords(database: Database, ids: readonly LayerId[]): LayerRecord[] {
	const [only] = ids;
	if (only !== undefined && ids.length === 1) return [layerRecord(database, only)];
	const rows = database.all<Row>(
		"SELECT n, record FROM layers WHERE id IN (SELECT value FROM json_each(?))",
		JSON.stringify(ids),
	);
	const records = new Map(rows.map(parseRow).map((record) => [record.id, record]));
	return ids.map((id) => records.get(id) ?? layerRecord(database, id));
}

/** In order of id. */
export function allLayers(database: Database): LayerRecord[] {
	return database.all<Row>("SELECT n, record FROM layers ORDER BY id").map(parseRow);
}

/** The names of all layers' directories. */
export function allNames(database: Database): string[] {
	return database.all<{ n: string }>("SELECT n FROM layers").map(({ n }) => n);
}

const CHAIN = `WITH RECURSIVE below (step, n, record, parent) AS (
	SELECT 1, n, record, parent FROM layers WHERE id = ?
	UNION ALL
	SELECT step + 1, layers.n, layers.record, layers.parent FROM below JOIN layers ON layers.n = below.parent WHERE step < ?
) SELECT n, record FROM below ORDER BY step`;

/**
 * Ancestors, nearest first.
 * @throws {LamellaError} `ECORRUPT` where one is missing
 */
export function chainOf(database: Database, record: LayerRecord): LayerRecord[] {
	if (record.parent === undefined) return [];
	// So many there can be, also where the rows go in a circle.
	const chain = database.all<Row>(CHAIN, record.parent, Math.max(record.depth, 1)).map(parseRow);
	for (const [i, layer] of [record, ...chain].entries()) {
		const below = chain[i];
		if (layer.parent === undefined && below === undefined) continue;
		if (below === undefined || below.id !== layer.parent || below.depth >= layer.depth) {
			throw missingBelow(layer, layer.parent);
		}
	}
	return chain;
}

/** @throws {LamellaError} `ECORRUPT` where it is missing */
export function parentOf(database: Database, record: LayerRecord): LayerRecord | undefined {
	if (record.parent === undefined) return undefined;
	const parent = findLayer(database, record.parent);
	if (parent === undefined || parent.depth >= record.depth) throw missingBelow(record, record.parent);
	return parent;
}

export function missingBelow({ id }: LayerRecord, below: string | undefined): LamellaError {
	const message = `layer "${id}" is over "${below}", which the store does not have`;
	return new LamellaError("ECORRUPT", `${message}; remove it, and import its image again`, { layer: id });
}

/** The checkpoints of all layers. */
export function allCheckpoints(database: Database): LayerRecord[] {
	const all = `SELECT n, record FROM layers WHERE instr(record, '"checkpoint":{') > 0`;
	return database.all<Row>(all).map(parseRow);
}

/** The checkpoints of a layer, newest first. */
export function checkpointsOf(database: Database, layer: LayerRecord): LayerRecord[] {
	const of = mountNameOf(layer);
	const ofIt = "SELECT n, record FROM layers WHERE instr(record, ?) > 0";
	return database
		.all<Row>(ofIt, `"checkpoint":{"of":"${of}"`)
		.map(parseRow)
		.filter((record) => record.checkpoint?.of === of)
		.sort((a, b) =>
			a.createdAtNs === b.createdAtNs ? b.depth - a.depth : a.createdAtNs < b.createdAtNs ? 1 : -1,
		);
}

/** The layer whose mount has that name. */
export function layerOfMount(database: Database, mountName: string): LayerRecord | undefined {
	const ofThatDirectory = layerAt(database, mountName);
	if (ofThatDirectory !== undefined && mountNameOf(ofThatDirectory) === mountName) return ofThatDirectory;
	const named = "SELECT n, record FROM layers WHERE instr(record, ?) > 0";
	return database
		.all<Row>(named, `"mountName":"${mountName}"`)
		.map(parseRow)
		.find((record) => mountNameOf(record) === mountName);
}

/**
 * A parent that a new layer may stand on.
 * @throws {LamellaError} `ENOTFOUND`, `EKIND`
 */
export function committedParent(database: Database, id: LayerId): LayerRecord {
	const parent = findLayer(database, id);
	if (parent === undefined) {
		throw new LamellaError("ENOTFOUND", `there is no layer "${id}", which was to be the parent`, {
			layer: id,
		});
	}
	if (parent.kind !== "committed") {
		throw new LamellaError(
			"EKIND",
			`layer "${id}" is ${parent.kind}; only a committed layer can be a parent`,
			{ layer: id },
		);
	}
	return parent;
}

/** @throws {LamellaError} `EEXISTS` */
export function mustBeFree(database: Database, id: LayerId): void {
	if (findLayer(database, id) === undefined) return;
	throw new LamellaError("EEXISTS", `there is a layer "${id}" already`, { layer: id });
}

/**
 * Records a new layer. `parentN` is the directory of the parent that it was made over: another layer may have that parent's
 * id by now.
 * @throws {LamellaError} `EEXISTS`, `ENOTFOUND`, `EKIND`
 */
export function insertLayer(database: Database, record: LayerRecord, parentN: string | undefined): void {
	mustBeFree(database, record.id);
	if (record.parent !== undefined && committedParent(database, record.parent).n !== parentN) {
		throw new LamellaError(
			"ENOTFOUND",
			`layer "${record.parent}" was removed while another was made over it; make that again`,
			{
				layer: record.parent,
			},
		);
	}
	putRow(database, record, parentN);
}

/** For a rebuild, bottom up: records a layer as its sidecar says, even where its parent is missing. */
export function restoreLayer(database: Database, record: LayerRecord): void {
	const parent = record.parent === undefined ? undefined : findLayer(database, record.parent);
	putRow(database, record, parent?.n);
}

function putRow(database: Database, record: LayerRecord, parentN: string | undefined): void {
	database.run(
		"INSERT INTO layers (n, id, parent, record) VALUES (?, ?, ?, ?)",
		record.n,
		record.id,
		parentN ?? null,
		formatLayerRecord(record),
	);
}

/**
 * Changes a layer's record; the id may change with it (commit), and the parent where the new one's directory is said.
 * @throws {LamellaError} `EEXISTS`, `ENOTFOUND`
 */
export function replaceLayer(database: Database, after: LayerRecord, parentN?: string): void {
	const before = layerAt(database, after.n);
	if (before === undefined) {
		throw new LamellaError("ENOTFOUND", `layer "${after.id}" was removed while it was being changed`, {
			layer: after.id,
		});
	}
	if (after.id !== before.id) mustBeFree(database, after.id);
	database.run(
		"UPDATE layers SET id = ?, record = ?, parent = coalesce(?, parent) WHERE n = ?",
		after.id,
		formatLayerRecord(after),
		parentN ?? null,
		after.n,
	);
}

/** Deletes a layer's row and notes its directory in `removed`. @throws {LamellaError} `EREFERENCED` where it has children */
export function deleteLayer(database: Database, record: LayerRecord): void {
	deleteLayers(database, [record]);
}

/** As `deleteLayer`, of layers that may be one another's children. @throws {LamellaError} `EREFERENCED` */
export function deleteLayers(database: Database, records: readonly LayerRecord[]): void {
	mustBeChildless(database, records);
	const names = JSON.stringify(records.map(({ n }) => n));
	database.run("DELETE FROM layers WHERE n IN (SELECT value FROM json_each(?))", names);
	database.run("INSERT OR IGNORE INTO removed SELECT 'layers/' || value FROM json_each(?)", names);
}

/** In order of id. */
export function childrenOf(database: Database, record: LayerRecord): LayerId[] {
	return database
		.all<{ id: LayerId }>("SELECT id FROM layers WHERE parent = ? ORDER BY id", record.n)
		.map(({ id }) => id);
}

/** The children of each of `ids` that is a layer, by one query. */
export function childrenOfEach(
	database: Database,
	ids: readonly LayerId[],
): ReadonlyMap<LayerId, readonly LayerId[]> {
	const rows = database.all<{ id: LayerId; child: LayerId | null }>(
		"SELECT layers.id, child.id AS child FROM layers LEFT JOIN layers AS child ON child.parent = layers.n WHERE layers.id IN (SELECT value FROM json_each(?)) ORDER BY child.id",
		JSON.stringify(ids),
	);
	const children = new Map<LayerId, LayerId[]>();
	for (const { id, child } of rows) {
		const known = children.get(id) ?? [];
		if (child !== null) known.push(child);
		children.set(id, known);
	}
	return children;
}

/** Children that are among `records` themselves do not count. @throws {LamellaError} `EREFERENCED` */
export function mustBeChildless(database: Database, records: readonly LayerRecord[]): void {
	const children = database.all<{ parent: string; id: LayerId }>(
		"SELECT parent, id FROM layers WHERE parent IN (SELECT value FROM json_each(?1)) AND n NOT IN (SELECT value FROM json_each(?1)) ORDER BY id",
		JSON.stringify(records.map(({ n }) => n)),
	);
	const record = records.find(({ n }) => children.some(({ parent }) => parent === n));
	if (record === undefined) return;
	const ids = children.filter(({ parent }) => parent === record.n).map(({ id }) => id);
	const named = ids.slice(0, 5).map((id) => `"${id}"`);
	if (ids.length > named.length) named.push(`${ids.length - named.length} more`);
	throw new LamellaError(
		"EREFERENCED",
		`layer "${record.id}" has layers on top of it (${named.join(", ")}); remove those first`,
		{ layer: record.id },
	);
}

function recordOf(row: Row | undefined): LayerRecord | undefined {
	return row === undefined ? undefined : parseRow(row);
}

/** @throws {LamellaError} `ECORRUPT` */
function parseRow({ n, record: text }: Row): LayerRecord {
	try {
		const record = parseLayerRecord(text);
		if (record.n !== n) throw new Error("it is of another directory");
		return record;
	} catch (cause) {
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new LamellaError(
			"ECORRUPT",
			`the record of the layer in layers/${n} is damaged: ${why}; \`lamella check --repair\` takes it from the layer's own file`,
			{ cause },
		);
	}
}
