/** The records of the rooms above: whether each has the file from which it would come back, and the documents that it names. */
import { existsSync, linkSync, mkdirSync } from "node:fs";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { isLamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import type { StoreContext } from "../context.ts";
import type { RestorableRecord } from "../contract.ts";
import { documentsOf, readRecordFile, readRecordFiles, recordFileOf } from "../database/records.ts";
import { recordsReader } from "../database/records-reader.ts";
import { readDocument } from "../disk/documents.ts";
import type { Found } from "./finding.ts";

export function* checkRecordFiles(
	store: StoreContext,
	restores: (record: RestorableRecord) => boolean = () => false,
): Generator<Found> {
	const { database, layout } = store;
	// Unknown ones first: what comes back is then looked at like the others.
	for (const [namespace, { key, value, documents }] of readRecordFiles(layout)) {
		const isKnown = recordsReader(database, namespace).get(key) !== undefined;
		if (isKnown || !restores({ namespace, key, value })) continue;
		const file = recordFileOf(layout, namespace, key);
		yield {
			kind: "record-unknown",
			path: file,
			message: `${file} is the record ${key} in ${namespace}, which the database does not have`,
			repair: () =>
				store.transaction(({ records }) => records<unknown>(namespace).put(key, value, { documents })),
		};
	}
	const rows = database.all<{ namespace: string; key: string }>("SELECT namespace, key FROM records");
	for (const { namespace, key } of rows) {
		yield* checkFile(store, namespace, key);
		for (const digest of documentsOf(database, namespace, key)) yield* checkDocument(store, digest, key);
	}
}

function* checkFile(store: StoreContext, namespace: string, key: string): Generator<Found> {
	const file = recordFileOf(store.layout, namespace, key);
	const inFile = readRecordFile(file);
	const value = recordsReader<unknown>(store.database, namespace).get(key);
	// Removed meanwhile.
	if (value === undefined) return;
	const documents = documentsOf(store.database, namespace, key);
	if (isDeepStrictEqual(inFile, { key, value, documents })) return;
	const isThere = existsSync(file);
	const what = inFile === undefined ? (isThere ? "is damaged" : "is missing") : "says something else";
	yield {
		kind: isThere ? "record-file-differs" : "record-file-missing",
		path: file,
		message: `${file}, the file of the record ${key} in ${namespace}, ${what}`,
		repair: async () => {
			// Where an older database was put back, the file knows more.
			if (inFile !== undefined) keepAside(store, file);
			await store.transaction(({ records }) => {
				const writer = records<unknown>(namespace);
				const now = writer.get(key);
				if (now !== undefined) writer.put(key, now, { documents });
			});
		},
	};
}

function keepAside({ layout }: StoreContext, file: string): void {
	mkdirSync(layout.lost, { recursive: true, mode: 0o700 });
	let aside = path.join(layout.lost, path.basename(file));
	while (existsSync(aside)) aside += "+";
	linkSync(file, aside);
}

function* checkDocument(store: StoreContext, digest: Digest, key: string): Generator<Found> {
	try {
		readDocument(store.layout, digest);
	} catch (error) {
		const isMissing = isLamellaError(error, "ENOTFOUND");
		if (!isMissing && !isLamellaError(error, "ECORRUPT")) throw error;
		yield {
			kind: isMissing ? "document-missing" : "document-damaged",
			path: error.path,
			message: `${error.message}; the record ${key} names it`,
		};
	}
}
