/**
 * `layers/<n>/layer.json`: the layer's record beside its data, so that the database can be rebuilt.
 *
 * A new sidecar is written aside (`layer.json.next`) before the record changes and renamed after it, so the one
 * that is read never says more than what was recorded.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import path from "node:path";
import type { DiffId } from "../layer/index.ts";
import type { LayerId } from "./contract.ts";
import { parseLayerId } from "./layer-id.ts";
import { FORMAT, type LayerRecord } from "./schema.ts";

export const SIDECAR = "layer.json";
const NEXT = "layer.json.next";

/** Writes the sidecar of a staged layer; flushing it is the caller's. */
export async function writeSidecar(directory: string, record: LayerRecord): Promise<void> {
	await (await create(path.join(directory, SIDECAR), record)).close();
}

/** The same at once, for a layer that is used before it is recorded; `isEarly` tells so. */
export function writeEarlySidecar(directory: string, record: LayerRecord): void {
	writeFileSync(path.join(directory, SIDECAR), sidecarText(record, { early: true }), {
		mode: 0o600,
		flag: "wx",
	});
}

/** Whether the layer in a directory was made early and is not known to have been recorded since. */
export function isEarly(directory: string): boolean {
	try {
		const raw = JSON.parse(readFileSync(path.join(directory, SIDECAR), "utf8")) as Record<string, unknown>;
		return raw.early === true;
	} catch {
		// As in readSidecar: then there is no telling what it is.
		return false;
	}
}

/** The same as `stageSidecar` at once; flushing it is the caller's. Returns the file. */
export function stageSidecarNow(directory: string, record: LayerRecord): string {
	const file = path.join(directory, NEXT);
	writeFileSync(file, sidecarText(record), { mode: 0o600 });
	return file;
}

/** Writes the coming sidecar aside; with `flush` it is durable when the promise resolves. */
export async function stageSidecar(
	directory: string,
	record: LayerRecord,
	{ flush }: { readonly flush: boolean },
): Promise<void> {
	const file = await create(path.join(directory, NEXT), record);
	try {
		if (flush) await file.sync();
	} finally {
		await file.close();
	}
}

/** Puts what `stageSidecar` wrote in place. */
export async function publishSidecar(directory: string): Promise<void> {
	await rename(path.join(directory, NEXT), path.join(directory, SIDECAR));
}

/** Reads a sidecar; undefined where it is missing or makes no sense. */
export function readSidecar(directory: string): LayerRecord | undefined {
	try {
		return parseSidecar(readFileSync(path.join(directory, SIDECAR), "utf8"));
	} catch {
		// Missing, unreadable or not JSON: the rebuild sets such a layer aside and says so.
		return undefined;
	}
}

async function create(file: string, record: LayerRecord): Promise<FileHandle> {
	const handle = await open(file, "w", 0o600);
	try {
		await handle.writeFile(sidecarText(record));
		return handle;
	} catch (error) {
		await handle.close();
		throw error;
	}
}

/** A record as it is written in a file. */
export function sidecarText(
	record: LayerRecord,
	marks: { readonly early?: boolean; readonly key?: LayerId } = {},
): string {
	return `${JSON.stringify({ format: FORMAT, ...record, ...marks }, undefined, "\t")}\n`;
}

/** Checks every field: a sidecar may have been edited or cut off. Throws where one is wrong. */
export function parseSidecar(text: string): LayerRecord {
	const raw = JSON.parse(text) as Record<string, unknown>;
	if (raw.format !== FORMAT) throw new Error("unknown format");
	const { n, kind, labels, usage, diffId, idMaps, mountLabel } = raw;
	if (typeof n !== "string" || !/^[0-9a-z]{7,}$/.test(n)) throw new Error("n");
	if (kind !== "active" && kind !== "view" && kind !== "committed") throw new Error("kind");
	if (typeof labels !== "object" || labels === null) throw new Error("labels");
	return {
		id: parseLayerId(String(raw.id)),
		n,
		parent: raw.parent === undefined ? undefined : parseLayerId(String(raw.parent)),
		kind,
		labels: Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, String(value)])),
		createdAtMs: number(raw.createdAtMs),
		updatedAtMs: number(raw.updatedAtMs),
		diffId: typeof diffId === "string" ? (diffId as DiffId) : undefined,
		usage: typeof usage === "object" && usage !== null ? (usage as LayerRecord["usage"]) : undefined,
		flattened: raw.flattened === true,
		depth: number(raw.depth),
		mountLabel: typeof mountLabel === "string" ? mountLabel : undefined,
		idMaps: typeof idMaps === "object" && idMaps !== null ? (idMaps as LayerRecord["idMaps"]) : undefined,
	};
}

function number(value: unknown): number {
	if (typeof value !== "number" || !Number.isFinite(value)) throw new Error("not a number");
	return value;
}
