/** The layers of an image as blobs in files: each tar is made, compressed and hashed in one pass. */
import { createHash, type Hash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { compress } from "../../compression/index.ts";
import type { Compression, DiffId, DiffResult, Digest, Warning } from "../../layer/index.ts";
import type { DiffOptions, LayerStore } from "../../store/index.ts";
import type { ImageLayer } from "../contract.ts";
import { sideBySide } from "../side-by-side.ts";
import type { Export } from "./export-image.ts";

/** Diffs and compressors that run at one time. */
const PARALLEL_LAYERS = 2;

export interface LayerBlob {
	readonly path: string;
	readonly digest: Digest;
	readonly sizeBytes: number;
	readonly compression: Compression;
	readonly diffId: DiffId;
	readonly tarSizeBytes: number;
	readonly warnings: readonly Warning[];
	/** `path` is the store's own file, which stays as it is. */
	readonly isKept: boolean;
}

/** Writes the blobs of all layers to new files of `directory`; bottom first. @throws what a diff throws; ENOSPC */
export async function writeLayerBlobs(exported: Export, directory: string): Promise<readonly LayerBlob[]> {
	const { store, image, name, compression, options } = exported;
	const { skipUnsupported } = options;
	const plan = { width: PARALLEL_LAYERS, what: "export", signal: options.signal };
	return await sideBySide(image.layers, plan, async (layer, index, signal) => {
		const report = (phase: "writing" | "done", doneBytes: number): void =>
			options.onProgress?.({
				operation: "export",
				phase,
				image: name ?? image.id,
				layer: layer.diffId,
				index,
				count: image.layers.length,
				doneBytes,
				totalBytes: layer.tarSizeBytes,
			});
		report("writing", 0);
		const onProgress = (doneBytes: number): void => report("writing", doneBytes);
		const place = path.join(directory, `layer-${index}`);
		const blob = await writeLayerBlob(store, layer, compression, place, {
			signal,
			onProgress,
			skipUnsupported,
		});
		report("done", blob.tarSizeBytes);
		return blob;
	});
}

/** Writes the blob of one layer to a new file, unless the store has it as one. @throws what a diff throws; ENOSPC */
export async function writeLayerBlob(
	store: LayerStore,
	layer: ImageLayer,
	compression: Compression,
	place: string,
	options: DiffOptions & { readonly signal: AbortSignal },
): Promise<LayerBlob> {
	const kept = compression === "none" ? store.keptTar(layer.layer) : undefined;
	if (kept !== undefined)
		return {
			...kept,
			digest: kept.diffId,
			compression,
			tarSizeBytes: kept.sizeBytes,
			warnings: [],
			isKept: true,
		};
	const { stream, result } = store.diff(layer.layer, options);
	// The pipeline reports a failed diff as the stream's error; the promise is looked at only when all went well.
	result.catch(() => {});
	const hash = createHash("sha256");
	const counted = new HashingPassThrough(hash);
	await pipeline(
		[
			stream,
			...(compression === "none" ? [] : [compress(compression)]),
			counted,
			fs.createWriteStream(place, { flags: "wx", mode: 0o644, flush: true }),
		],
		{ signal: options.signal },
	);
	const { diffId, tarSizeBytes, warnings }: DiffResult = await result;
	const digest = `sha256:${hash.digest("hex")}` as Digest;
	return {
		path: place,
		digest,
		sizeBytes: counted.sizeBytes,
		compression,
		diffId,
		tarSizeBytes,
		warnings,
		isKept: false,
	};
}

/** Hashes and counts what passes through. */
class HashingPassThrough extends Transform {
	sizeBytes = 0;
	readonly #hash: Hash;

	constructor(hash: Hash) {
		super({ highWaterMark: 1 << 20 });
		this.#hash = hash;
	}

	override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
		this.#hash.update(chunk);
		this.sizeBytes += chunk.length;
		callback(null, chunk);
	}
}
