/**
 * `layers/<n>/layer.json`: the layer's record beside its data (sidecar). A lost database is rebuilt from it; nothing else reads
 * it. A new layer comes with its sidecar. A later one is put in place after the transaction that records the same, and before
 * that is acknowledged, so it never says what was never recorded.
 */
import { closeSync, open, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { formatLayerRecord, type LayerRecord, parseLayerRecord } from "../database/layer-record.ts";

const openFile = promisify(open);

/** Where a layer's sidecar is. */
export function sidecarOf(directory: string): string {
	return path.join(directory, "layer.json");
}

/**
 * Where the sidecar waits that a directory will have when the layer in it becomes a committed one, and the layer itself goes on
 * in another directory. It is put in place after the transaction; a rebuild counts it where that was cut off.
 */
export function nextSidecarOf(directory: string): string {
	return path.join(directory, "layer.next.json");
}

/** Writes a sidecar where nobody reads it yet. Flushing it is the caller's. */
export async function writeSidecar(file: string, record: LayerRecord): Promise<void> {
	// Only making the file may have to wait for the disk; to write into memory takes less than asking a thread to.
	const fd = await openFile(file, "wx", 0o600);
	try {
		writeFileSync(fd, `${formatLayerRecord(record, "\t")}\n`);
	} finally {
		closeSync(fd);
	}
}

/** Reads a sidecar; undefined where it is missing or damaged. */
export function readSidecar(directory: string, file: string = sidecarOf(directory)): LayerRecord | undefined {
	try {
		return parseLayerRecord(readFileSync(file, "utf8"));
	} catch {
		// The rebuild moves such a layer to lost+found/ and says so.
		return undefined;
	}
}
