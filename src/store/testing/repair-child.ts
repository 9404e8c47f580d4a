/**
 * A process for tests to kill: repairs one layer from a tar.
 *
 *     node repair-child.js ROOT TAR LAYER
 */
import { statSync } from "node:fs";
import { openLayerStore, parseLayerId } from "../index.ts";

const [root = "", tar = "", layer = ""] = process.argv.slice(2);
await using store = await openLayerStore({ root, threads: 1 });
await store.repair({
	id: parseLayerId(layer),
	source: { from: "range", path: tar, offset: 0, sizeBytes: statSync(tar).size, compression: "none" },
});
