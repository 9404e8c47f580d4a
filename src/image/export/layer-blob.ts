/** A layer of the store as a blob in a file: its tar is made, compressed and hashed in one pass. */
import { createHash, type Hash } from "node:crypto";
import fs from "node:fs";
import { Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { compress } from "../../compression/index.ts";
import type { Compression, DiffId, DiffResult, Digest } from "../../layer/index.ts";
import type { LayerId, LayerStore, OperationOptions } from "../../store/index.ts";

export interface LayerBlob {
	readonly path: string;
	readonly digest: Digest;
	readonly sizeBytes: number;
	readonly diffId: DiffId;
	readonly tarSizeBytes: number;
	readonly warnings: readonly string[];
}

/** Writes the diff of `layer` to the new file `path` and flushes it. @throws what the diff throws; ENOSPC */
export async function writeLayerBlob(
	store: LayerStore,
	layer: LayerId,
	compression: Compression,
	path: string,
	options: OperationOptions = {},
): Promise<LayerBlob> {
	const { stream, result } = store.diff(layer, { signal: options.signal, onProgress: options.onProgress });
	// The pipeline reports a failed diff as the stream's error; the promise is looked at only when all went well.
	result.catch(() => {});
	const hash = createHash("sha256");
	const counted = new HashingPassThrough(hash);
	await pipeline(
		[
			stream,
			...(compression === "none" ? [] : [compress(compression)]),
			counted,
			fs.createWriteStream(path, { flags: "wx", mode: 0o644, flush: true }),
		],
		options.signal === undefined ? {} : { signal: options.signal },
	);
	const { diffId, tarSizeBytes, warnings }: DiffResult = await result;
	return {
		path,
		digest: `sha256:${hash.digest("hex")}` as Digest,
		sizeBytes: counted.sizeBytes,
		diffId,
		tarSizeBytes,
		warnings,
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
