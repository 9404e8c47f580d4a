/** The job that applies a layer: one pass from the source through decompression, digests and the parser to the disk. */
import { createHash } from "node:crypto";
import { decompress, detectRange, readRange, readRangeInto } from "../../compression/index.ts";
import { LamellaError } from "../../errors/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import { TarReader } from "../../tar/index.ts";
import type { DiffId } from "../digest/digest.ts";
import { DigestAside } from "../digest/digest-aside.ts";
import type { ApplyRequest, ApplyResult, LayerSource } from "../jobs/job-contract.ts";
import { syncFilesystem } from "../tree/sync.ts";
import { LayerApplier } from "./apply.ts";

const BUFFER_BYTES = 1 << 20;

type RangeSource = Extract<LayerSource, { from: "range" }>;

/**
 * Applies the layer at `source` to the target. On failure the target is left as it is, for the caller to discard.
 * @throws {LamellaError} `EDIGEST`, `ETAR`, `ECOMPRESSION`, `EARCHIVE`, `EABORTED`, and what LayerApplier throws.
 */
export async function applyLayer(request: ApplyRequest, context: JobContext): Promise<ApplyResult> {
	const { target, expectedDiffId, expectedBlobDigest, sync } = request;
	const source = withCompression(request.source);
	using applier = new LayerApplier(target, { idMaps: request.idMaps, context });
	const reader = new TarReader(applier);
	const isAside = request.digestAside === true && source.from === "range" && source.compression === "none";
	const read = isAside
		? await readAside(source, reader, context)
		: await readHere(request, source, reader, context);
	reader.end();
	const { diffId, blobDigest, tarSizeBytes } = read;
	checkDigest("compressed layer", blobDigest, expectedBlobDigest);
	checkDigest("layer", diffId, expectedDiffId);
	const applied = applier.finish();
	if (sync === true) syncFilesystem(target.directory);
	return { diffId, tarSizeBytes, ...applied };
}

interface ReadLayer {
	readonly diffId: DiffId;
	/** The diffID where the source is a plain tar, or where nobody asked. */
	readonly blobDigest: string;
	readonly tarSizeBytes: number;
}

/** Reads, decompresses, digests and parses in this thread. */
async function readHere(
	{ expectedBlobDigest }: ApplyRequest,
	source: LayerSource,
	reader: TarReader,
	context: JobContext,
): Promise<ReadLayer> {
	const tarHash = createHash("sha256");
	// Hashing twice what is the same once would cost as much as writing it.
	const isPlain = source.compression === "none";
	const blobHash = isPlain || expectedBlobDigest === undefined ? undefined : createHash("sha256");
	let blobBytes = 0;
	let tarSizeBytes = 0;
	async function* blob(): AsyncGenerator<Uint8Array> {
		for await (const chunk of chunksOf(source)) {
			context.checkAborted();
			blobHash?.update(chunk);
			blobBytes += chunk.length;
			yield chunk;
			context.progress(blobBytes);
		}
	}
	for await (const chunk of isPlain ? blob() : decompress(blob(), source.compression)) {
		context.checkAborted();
		tarHash.update(chunk);
		tarSizeBytes += chunk.length;
		reader.write(chunk);
	}
	const diffId = `sha256:${tarHash.digest("hex")}` as DiffId;
	const blobDigest = blobHash === undefined ? diffId : `sha256:${blobHash.digest("hex")}`;
	return { diffId, blobDigest, tarSizeBytes };
}

/** As readHere for a plain tar, with the digest made in another thread meanwhile. */
async function readAside(source: RangeSource, reader: TarReader, context: JobContext): Promise<ReadLayer> {
	const { path, offset, sizeBytes } = source;
	using digest = new DigestAside(BUFFER_BYTES);
	let tarSizeBytes = 0;
	for await (const chunk of readRangeInto(() => digest.nextSlot(context), path, offset, sizeBytes)) {
		context.checkAborted();
		digest.push(chunk.length);
		reader.write(chunk);
		tarSizeBytes += chunk.length;
		context.progress(tarSizeBytes);
	}
	const diffId = `sha256:${await digest.finish()}` as DiffId;
	return { diffId, blobDigest: diffId, tarSizeBytes };
}

/** Looks at a range's first bytes, so that a plain tar is known for one: its two digests are then the same. */
function withCompression(source: LayerSource): LayerSource {
	if (source.from !== "range" || source.compression !== "detect" || source.sizeBytes === 0) return source;
	const compression = detectRange(source.path, source.offset, source.sizeBytes);
	// What cannot be read is refused by name where it is read.
	return compression === "none" || compression === "gzip" || compression === "zstd"
		? { ...source, compression }
		: source;
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
		`the ${what} has the digest ${found}, but ${expected} was promised; it is damaged, or not the one that was meant: get it again`,
	);
}
