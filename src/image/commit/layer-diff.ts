/** The tar of a layer's changes, on its way to somewhere or only to be digested. */
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { DiffResult } from "../../layer/index.ts";
import type { LayerId, LayerStore, OperationOptions } from "../../store/index.ts";

/** Writes the diff of `layer` to `to`. @throws what a diff throws, and what `to` does */
export async function writeDiff(
	store: LayerStore,
	layer: LayerId,
	to: Writable,
	options: OperationOptions,
): Promise<DiffResult> {
	const { stream, result } = store.diff(layer, options);
	// The pipeline reports a failed diff as the stream's error; the promise is looked at only when all went well.
	result.catch(() => {});
	await pipeline(stream, to, options.signal === undefined ? {} : { signal: options.signal });
	return await result;
}

/** What the diff of `layer` would be. @throws what a diff throws */
export function digestDiff(
	store: LayerStore,
	layer: LayerId,
	options: OperationOptions,
): Promise<DiffResult> {
	return writeDiff(store, layer, new Writable({ write: (_chunk, _encoding, done) => done() }), options);
}
