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

/** In order of id. */
export function allLayers(database: Database): LayerRecord[] {
	return database.all<Row>("SELECT n, record FROM layers ORDER BY id").map(parseRow);
}

/** The names of all layers' directories. */
export function allNames(database: Database): string[] {
	return database.all<{ n: string }>("SELECT n FROM layers").map(({ n }) => n);
}

/** The mount names of the layers whose mount is not named for their directory. */
export function mountNames(database: Database): ReadonlySet<string> {
	const named = "SELECT n, record FROM layers WHERE instr(record, '\"mountName\"') > 0";
	return new Set(database.all<Row>(named).map((row) => mountNameOf(parseRow(row))));
}

/**
 * Ancestors, nearest first.
 * @throws {LamellaError} `ECORRUPT` where one is missing
 */
export function chainOf(database: Database, record: LayerRecord): LayerRecord[] {
	const chain: LayerRecord[] = [];
	for (let child = record; child.parent !== undefined; ) {
		const parent = findLayer(database, child.parent);
		if (parent === undefined || parent.depth >= child.depth) {
			const message = `layer "${child.id}" is over "${child.parent}", which the store does not have`;
			throw new LamellaError("ECORRUPT", `${message}; remove it, and import its image again`, {
				layer: child.id,
			});
		}
		chain.push(parent);
		child = parent;
	}
	return chain;
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

/** Changes a layer's record; the id may change with it (commit). @throws {LamellaError} `EEXISTS`, `ENOTFOUND` */
export function replaceLayer(database: Database, after: LayerRecord): void {
	const before = layerAt(database, after.n);
	if (before === undefined) {
		throw new LamellaError("ENOTFOUND", `layer "${after.id}" was removed while it was being changed`, {
			layer: after.id,
		});
	}
	if (after.id !== before.id) mustBeFree(database, after.id);
	database.run(
		"UPDATE layers SET id = ?, record = ? WHERE n = ?",
		after.id,
		formatLayerRecord(after),
		after.n,
	);
}

/** Deletes a layer's row and notes its directory in `removed`. @throws {LamellaError} `EREFERENCED` where it has children */
export function deleteLayer(database: Database, record: LayerRecord): void {
	mustBeChildless(database, record);
	database.run("DELETE FROM layers WHERE n = ?", record.n);
	database.run("INSERT OR IGNORE INTO removed VALUES (?)", `layers/${record.n}`);
}

/** In order of id. */
export function childrenOf(database: Database, record: LayerRecord): LayerId[] {
	return database
		.all<{ id: LayerId }>("SELECT id FROM layers WHERE parent = ? ORDER BY id", record.n)
		.map(({ id }) => id);
}

/** @throws {LamellaError} `EREFERENCED` */
export function mustBeChildless(database: Database, record: LayerRecord): void {
	const children = childrenOf(database, record);
	if (children.length === 0) return;
	const named = children.slice(0, 5).map((id) => `"${id}"`);
	if (children.length > named.length) named.push(`${children.length - named.length} more`);
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
			`the record of the layer in layers/${n} is damaged: ${why}; end all processes at this store and move its metadata/ away: the next one rebuilds the database`,
			{ cause },
		);
	}
}
