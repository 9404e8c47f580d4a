/** Makes a directory a store: writes the marker that marker.ts looks for. */
import { rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { FORMAT } from "../database/schema.ts";
import { flush } from "./flush.ts";
import { MARKER } from "./marker.ts";

/** Marks `root` as a store, durably. */
export async function writeMarker(root: string): Promise<void> {
	const next = path.join(root, `${MARKER}.next`);
	await writeFile(next, `{"lamella":${FORMAT}}\n`, { mode: 0o644 });
	await flush(next);
	await rename(next, path.join(root, MARKER));
	await flush(root);
}
