/** The job that applies a layer: one pass from the source through decompression, digests and the parser to the disk. */
import { createHash } from "node:crypto";
import { decompress, readRange } from "../compression/index.ts";
import { LamellaError } from "../errors/index.ts";
import type { JobContext } from "../jobs/index.ts";
import * as linux from "../linux/index.ts";
import { TarReader } from "../tar/index.ts";
import { LayerApplier } from "./apply.ts";
import type { DiffId } from "./digest.ts";
import type { ApplyRequest, ApplyResult, LayerSource } from "./job-contract.ts";
import { asLamellaError } from "./system-failure.ts";

const BUFFER_BYTES = 1 << 20;

/**
 * Applies the layer at `source` to the target. On failure the target is left as it is, for the caller to discard.
 * @throws {LamellaError} `EDIGEST`, `ETAR`, `ECOMPRESSION`, `EARCHIVE`, `EABORTED`, and what LayerApplier throws.
 */
export async function applyLayer(request: ApplyRequest, context: JobContext): Promise<ApplyResult> {
	const { target, source, expectedDiffId, expectedBlobDigest, sync } = request;
	const tarHash = createHash("sha256");
	// Hashing twice what is the same once would cost as much as writing it.
	const isPlain = source.compression === "none";
	const blobHash = isPlain || expectedBlobDigest === undefined ? undefined : createHash("sha256");
	let blobBytes = 0;
	let tarBytes = 0;
	async function* blob(): AsyncGenerator<Uint8Array> {
		for await (const chunk of chunksOf(source)) {
			context.checkAborted();
			blobHash?.update(chunk);
			blobBytes += chunk.length;
			yield chunk;
			context.progress(blobBytes);
		}
	}
	using applier = new LayerApplier(target, { idMaps: request.idMaps, context });
	const reader = new TarReader(applier);
	for await (const chunk of isPlain ? blob() : decompress(blob(), source.compression)) {
		context.checkAborted();
		tarHash.update(chunk);
		tarBytes += chunk.length;
		reader.write(chunk);
	}
	reader.end();
	const diffId = `sha256:${tarHash.digest("hex")}` as DiffId;
	const blobDigest = blobHash === undefined ? diffId : `sha256:${blobHash.digest("hex")}`;
	checkDigest("compressed layer", blobDigest, expectedBlobDigest);
	checkDigest("layer", diffId, expectedDiffId);
	const applied = applier.finish();
	if (sync === true) syncFilesystem(target.directory);
	return { diffId, tarSizeBytes: tarBytes, ...applied };
}

/** Calls syncfs on the filesystem of `path`. @throws {LamellaError} `ESYSTEM`, `ENOSPACE` */
export function syncFilesystem(path: string): void {
	try {
		const fd = linux.openat(linux.AT_FDCWD, path, linux.O_RDONLY);
		try {
			linux.syncfs(fd);
		} finally {
			linux.close(fd);
		}
	} catch (error) {
		throw asLamellaError(error, "flush", () => linux.escapePath(Buffer.from(path)));
	}
}

function chunksOf(source: LayerSource): AsyncIterable<Uint8Array> {
	return source.from === "range"
		? readRange(source.path, source.offset, source.sizeBytes, BUFFER_BYTES)
		: readPipe(source.fd);
}

/** A pipe to its end. The thread waits in read(2): whoever writes must do so in another one. */
async function* readPipe(fd: number): AsyncGenerator<Uint8Array> {
	const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
	for (;;) {
		const count = linux.read(fd, buffer, 0, buffer.length);
		if (count === 0) return;
		yield buffer.subarray(0, count);
	}
}

function checkDigest(what: string, found: string, expected: string | undefined): void {
	if (expected === undefined || expected === found) return;
	throw new LamellaError(
		"EDIGEST",
		`the ${what} has the digest ${found}, but ${expected} was promised; it is damaged or not the one that was meant`,
	);
}
