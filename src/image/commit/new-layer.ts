/**
 * The committed layer of a new image. It is a snapshot of the active one, which is digested as it then stands. Where a
 * layer tar cannot say all that is in it (sockets, names such as `.wh.x`), it is made of the tar: the image has to be the
 * same here and where it is imported.
 */
import fs from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import type { DiffResult } from "../../layer/index.ts";
import type { LayerInfo, LayerStore, NameOfContent, SnapshotOptions } from "../../store/index.ts";

class MoreThanItsTar extends Error {
	override readonly name = "MoreThanItsTar";
}

/** Returns what its tar is. @throws as LayerStore.snapshot and diff */
export async function makeNewLayer(
	store: LayerStore,
	active: LayerInfo,
	name: NameOfContent,
	options: SnapshotOptions,
): Promise<DiffResult> {
	let taken: DiffResult | undefined;
	try {
		await store.snapshot(
			active.id,
			(diff) => {
				if (diff.warnings.length > 0) throw new MoreThanItsTar();
				taken = diff;
				return name(diff);
			},
			options,
		);
	} catch (error) {
		if (!(error instanceof MoreThanItsTar)) throw error;
		return await makeOfTar(store, active, name, options);
	}
	if (taken === undefined) throw new Error("the store did not digest the snapshot");
	return taken;
}

async function makeOfTar(
	store: LayerStore,
	{ id, parent }: LayerInfo,
	name: NameOfContent,
	{ signal, skipUnsupported, onProgress, also }: SnapshotOptions,
): Promise<DiffResult> {
	await using scratch = await store.scratch();
	const tar = path.join(scratch.path, "diff.tar");
	const { stream, result } = store.diff(id, { signal, skipUnsupported, onProgress });
	// The pipeline reports a failed diff as the stream's error; the promise is looked at only when all went well.
	result.catch(() => undefined);
	await pipeline(stream, fs.createWriteStream(tar, { flags: "wx" }), signal === undefined ? {} : { signal });
	const diff = await result;
	const source = {
		from: "range",
		path: tar,
		offset: 0,
		sizeBytes: diff.tarSizeBytes,
		compression: "none",
	} as const;
	const layer = { id: await name(diff), source, expectedDiffId: diff.diffId };
	await store.importChain([layer], { parent, keepExisting: true, signal, also });
	return diff;
}
