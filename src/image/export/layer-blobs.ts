/** The layers of an image as blobs in files: each tar is made, compressed and hashed in one pass, two at a time. */
import { createHash, type Hash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { compress } from "../../compression/index.ts";
import type { DiffId, DiffResult, Digest, Warning } from "../../layer/index.ts";
import type { ImageLayer } from "../contract.ts";
import { checkAborted } from "../failure.ts";
import type { Export } from "./export-image.ts";

/** Diffs and compressors that run at one time. */
const PARALLEL_LAYERS = 2;

export interface LayerBlob {
	readonly path: string;
	readonly digest: Digest;
	readonly sizeBytes: number;
	readonly diffId: DiffId;
	readonly warnings: readonly Warning[];
	/** `path` is the store's own file, which stays as it is. */
	readonly isKept: boolean;
}

/** Writes the blobs of all layers to new files of `directory`; bottom first. @throws what a diff throws; ENOSPC */
export async function writeLayerBlobs(exported: Export, directory: string): Promise<readonly LayerBlob[]> {
	const { image, options } = exported;
	const blobs: LayerBlob[] = [];
	const failed = new AbortController();
	const signal =
		options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
	const queue = image.layers.entries();
	const work = async (): Promise<void> => {
		for (const [index, layer] of queue) {
			checkAborted(signal, "export");
			const place = path.join(directory, `layer-${index}`);
			blobs[index] = await writeLayerBlob(exported, index, layer, place, signal);
		}
	};
	const workers = Array.from({ length: PARALLEL_LAYERS }, () =>
		work().catch((error: unknown) => {
			// The others are of no use any more; the first failure is the one to tell.
			failed.abort(error);
			throw error;
		}),
	);
	const settled = await Promise.allSettled(workers);
	if (settled.some(({ status }) => status === "rejected")) {
		checkAborted(options.signal, "export");
		throw failed.signal.reason;
	}
	return blobs;
}

async function writeLayerBlob(
	{ store, image, name, compression, options }: Export,
	index: number,
	layer: ImageLayer,
	place: string,
	signal: AbortSignal,
): Promise<LayerBlob> {
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
	const kept = compression === "none" ? store.keptTar(layer.layer) : undefined;
	if (kept !== undefined) {
		report("done", kept.sizeBytes);
		return { ...kept, digest: kept.diffId, warnings: [], isKept: true };
	}
	const { skipUnsupported } = options;
	const onProgress = (doneBytes: number): void => report("writing", doneBytes);
	const { stream, result } = store.diff(layer.layer, { signal, onProgress, skipUnsupported });
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
		{ signal },
	);
	const { diffId, tarSizeBytes, warnings }: DiffResult = await result;
	report("done", tarSizeBytes);
	const digest = `sha256:${hash.digest("hex")}` as Digest;
	return { path: place, digest, sizeBytes: counted.sizeBytes, diffId, warnings, isKept: false };
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
