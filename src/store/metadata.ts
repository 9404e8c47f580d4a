/**
 * Opening the database: looked at first, and rebuilt from the sidecars where it is missing or damaged. Only a
 * process that is alone at the store rebuilds; see state-root.ts for how it knows.
 */
import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import path from "node:path";
import { LamellaError } from "../errors/index.ts";
import { insertLayerUnchecked } from "./catalog.ts";
import type { Layout } from "./layout.ts";
import { lmdbFileProblem } from "./lmdb-file.ts";
import { openLmdbMetaStore } from "./lmdb-meta-store.ts";
import type { MetaStore } from "./meta-store.ts";
import { readRecordFiles } from "./record-files.ts";
import type { Reserve } from "./reserve.ts";
import { FORMAT, type LayerRecord } from "./schema.ts";
import { readSidecar } from "./sidecar.ts";

/** @throws {LamellaError} `ECORRUPT` where it is damaged and others are at the store */
export async function openMetadata(
	layout: Layout,
	{ alone, reserve }: { readonly alone: boolean; readonly reserve: Reserve },
): Promise<MetaStore> {
	const file = path.join(layout.metadata, "data.mdb");
	const problem = lmdbFileProblem(file, { headsOnly: !alone });
	const missing = problem === undefined && !existsSync(file);
	if (!alone) {
		if (problem === undefined && !missing) return openLmdbMetaStore(layout.metadata, { reserve });
		throw new LamellaError(
			"ECORRUPT",
			`the database of ${layout.root} is ${missing ? "missing" : `damaged (${problem})`}; end the other processes at it, and open it again: it is then rebuilt`,
			{ path: layout.metadata },
		);
	}
	if (problem !== undefined) setAside(layout);
	let meta = openLmdbMetaStore(layout.metadata, { reserve });
	const unreadable = problem === undefined && !missing && !isReadable(meta);
	if (unreadable) {
		await meta.close();
		setAside(layout);
		meta = openLmdbMetaStore(layout.metadata, { reserve });
	}
	try {
		if (problem !== undefined || unreadable || meta.get("facts", "format") === undefined) {
			await rebuild(layout, meta);
		}
		const format = meta.get<number>("facts", "format");
		if (format !== FORMAT) {
			throw new LamellaError(
				"ECONFIG",
				`${layout.root} is of format ${format}, which this version does not know; use a newer Lamella`,
			);
		}
		return meta;
	} catch (error) {
		await meta.close();
		throw error;
	}
}

/** Keeps the damaged database for whoever wants to look at it. */
function setAside(layout: Layout): void {
	renameSync(layout.metadata, `${layout.metadata}.damaged-${Date.now()}`);
	mkdirSync(layout.metadata, { mode: 0o710 });
}

/** Goes through every record once. */
function isReadable(meta: MetaStore): boolean {
	try {
		for (const table of ["layers", "places", "children", "pending", "records", "facts"] as const) {
			for (const [, value] of meta.entries(table)) if (value === undefined) return false;
		}
		return true;
	} catch {
		// Whatever it says: the sidecars are the truth then.
		return false;
	}
}

async function rebuild(layout: Layout, meta: MetaStore): Promise<void> {
	const byId = new Map<string, LayerRecord>();
	for (const n of readdirSync(layout.layers)) {
		const record = readSidecar(path.join(layout.layers, n));
		if (record === undefined || record.n !== n) {
			setLayerAside(layout, n);
			continue;
		}
		const known = byId.get(record.id);
		if (known === undefined) byId.set(record.id, record);
		else {
			// One of them was being removed when the database was lost: the later one took its id.
			const [kept, lost] = known.updatedAtMs > record.updatedAtMs ? [known, record] : [record, known];
			byId.set(record.id, kept);
			setLayerAside(layout, lost.n);
		}
	}
	await meta.transaction((transaction) => {
		for (const record of [...byId.values()].sort((a, b) => a.depth - b.depth)) {
			insertLayerUnchecked(transaction, record);
		}
		for (const [key, value] of readRecordFiles(layout)) transaction.put("records", key, value);
		transaction.put("facts", "format", FORMAT);
	});
}

function setLayerAside(layout: Layout, n: string): void {
	mkdirSync(layout.lost, { recursive: true, mode: 0o710 });
	renameSync(path.join(layout.layers, n), path.join(layout.lost, `${n}-${Date.now()}`));
}
