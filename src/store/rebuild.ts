/**
 * Making the database anew where it is missing or damaged: from the layers' sidecars and the records' files. Only a
 * process that is alone at the store does it; see state-root.ts for how it knows.
 */
import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import path from "node:path";
import { driverOf } from "../driver/index.ts";
import { isLamellaError } from "../errors/index.ts";
import { Database } from "./database/database.ts";
import { databaseMissing } from "./database/errors.ts";
import { putFact } from "./database/facts.ts";
import type { LayerRecord } from "./database/layer-record.ts";
import { restoreLayer } from "./database/layers.ts";
import { putRecord, readRecordFiles } from "./database/records.ts";
import type { Layout } from "./disk/layout.ts";
import type { Reserve } from "./disk/reserve.ts";
import { nextSidecarOf, readSidecar } from "./disk/sidecar.ts";
import { setLayerAside } from "./recovery.ts";

export interface OpenedDatabase {
	readonly database: Database;
	/** What was done, for people. */
	readonly notices: readonly string[];
}

/** @throws {LamellaError} `ECORRUPT` where it is missing or damaged and others are at the store */
export async function openDatabase(
	layout: Layout,
	{ alone, reserve }: { readonly alone: boolean; readonly reserve: Reserve },
): Promise<OpenedDatabase> {
	if (!existsSync(layout.database)) {
		if (!alone) throw databaseMissing(layout.database);
		const isBlank = [layout.layers, layout.records].every((directory) => readdirSync(directory).length === 0);
		if (!isBlank) return await rebuild(layout, reserve, "the database was missing");
		return { database: Database.open(layout.database, { make: true, reserve }), notices: [] };
	}
	let database: Database | undefined;
	try {
		database = Database.open(layout.database, { reserve });
		const problem = alone ? database.problem() : undefined;
		if (problem === undefined) return { database, notices: [] };
	} catch (error) {
		if (!alone || !isLamellaError(error, "ECORRUPT")) throw error;
	}
	database?.close();
	const aside = `${layout.metadata}.damaged-${Date.now()}`;
	renameSync(layout.metadata, aside);
	mkdirSync(layout.metadata, { mode: 0o710 });
	return await rebuild(layout, reserve, `the database was damaged; it is kept as ${aside}`);
}

async function rebuild(layout: Layout, reserve: Reserve, why: string): Promise<OpenedDatabase> {
	const notices: string[] = [];
	const database = Database.open(layout.database, { make: true, reserve });
	try {
		const layers = readSidecars(layout, (n, problem) => {
			const aside = setLayerAside(layout, n);
			notices.push(`the directory layers/${n} ${problem}; it was moved to ${aside}`);
		});
		const records = [...readRecordFiles(layout)];
		await database.transaction(() => {
			for (const record of layers) restoreLayer(database, record);
			if (layers.length > 0) putFact(database, "driver", driverOf(layers.map(({ form }) => form)));
			for (const [namespace, record] of records) putRecord(database, namespace, record);
		});
		await database.flushed();
		notices.unshift(
			`${why}; a new one was made from the layers' own files and records/: ${layers.length} layers, ${records.length} records`,
		);
		return { database, notices };
	} catch (error) {
		database.close();
		throw error;
	}
}

/** Every layer's sidecar, parents before children. */
function readSidecars(layout: Layout, setAside: (n: string, problem: string) => void): LayerRecord[] {
	const byId = new Map<string, LayerRecord>();
	const found: LayerRecord[] = [];
	for (const n of readdirSync(layout.layers)) {
		const record = readSidecar(path.join(layout.layers, n));
		if (record?.n === n) found.push(record);
		else setAside(n, "has no layer.json, or a damaged one");
	}
	for (const record of found.map((one) => sealedSince(layout, one, found))) {
		const known = byId.get(record.id);
		// Two of one id: the older was being removed when the database was lost, and the newer took its id.
		const [kept, lost] =
			known !== undefined && known.updatedAtNs > record.updatedAtNs ? [known, record] : [record, known];
		byId.set(record.id, kept);
		if (lost !== undefined) setAside(lost.n, `is an older layer of the id "${lost.id}"`);
	}
	return [...byId.values()].sort((a, b) => a.depth - b.depth);
}

/** What the layer in a directory had become when the sidecar that says so was not in place yet. */
function sealedSince(layout: Layout, record: LayerRecord, found: readonly LayerRecord[]): LayerRecord {
	const directory = path.join(layout.layers, record.n);
	const next = readSidecar(directory, nextSidecarOf(directory));
	// A committed one is it already, and may have changed since.
	if (next?.n !== record.n || record.kind === "committed") return record;
	const isSealed = found.some(
		(other) => other.n !== record.n && (other.id === record.id || other.parent === next.id),
	);
	return isSealed ? next : record;
}
