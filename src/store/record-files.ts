/**
 * `records/<namespace>/<sha256 of the key>.json`: each record of a room above as a file, so that the database can be
 * rebuilt. Written after the record's transaction; pending work makes up for a crash in between.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import type { Layout } from "./layout.ts";

interface RecordFile {
	readonly key: string;
	readonly value: unknown;
}

export function recordDirectory(layout: Layout, namespace: string): string {
	return path.join(layout.records, namespace);
}

/** Writes a record's file, or removes it where `value` is undefined. */
export async function writeRecordFile(
	layout: Layout,
	namespace: string,
	key: string,
	{ value, temporaryName }: { readonly value: unknown; readonly temporaryName: string },
): Promise<void> {
	const directory = recordDirectory(layout, namespace);
	const file = path.join(directory, `${createHash("sha256").update(key).digest("hex")}.json`);
	if (value === undefined) {
		await rm(file, { force: true });
		return;
	}
	await mkdir(directory, { recursive: true, mode: 0o710 });
	const aside = path.join(directory, `${temporaryName}.next`);
	const handle = await open(aside, "w", 0o600);
	try {
		await handle.writeFile(JSON.stringify({ key, value } satisfies RecordFile));
		await handle.sync();
	} finally {
		await handle.close();
	}
	await rename(aside, file);
}

/** All records that have a sound file. */
export function* readRecordFiles(layout: Layout): Iterable<readonly [path: string, value: unknown]> {
	mkdirSync(layout.records, { recursive: true, mode: 0o710 });
	for (const namespace of readdirSync(layout.records)) {
		for (const file of readdirSync(path.join(layout.records, namespace))) {
			if (!file.endsWith(".json")) continue;
			const record = parse(readFileSync(path.join(layout.records, namespace, file), "utf8"));
			if (record !== undefined) yield [`${namespace}/${record.key}`, record.value];
		}
	}
}

function parse(text: string): RecordFile | undefined {
	try {
		const { key, value } = JSON.parse(text) as RecordFile;
		return typeof key === "string" && value !== undefined ? { key, value } : undefined;
	} catch {
		// Cut off by a power cut before its flush: the record was then not acknowledged, or is in the database.
		return undefined;
	}
}
