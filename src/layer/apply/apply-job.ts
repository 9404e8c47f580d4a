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
import { PackedApplier } from "../packed/packed-applier.ts";
import { syncFilesystem } from "../tree/sync.ts";
import { LayerApplier } from "./apply.ts";
import type { LayerReceiver, ReceivedTar } from "./layer-receiver.ts";

const BUFFER_BYTES = 1 << 20;

type RangeSource = Extract<LayerSource, { from: "range" }>;

/**
 * Applies the layer at `source` to the target. On failure the target is left as it is, for the caller to discard.
 * @throws {LamellaError} `EDIGEST`, `ETAR`, `ECOMPRESSION`, `EARCHIVE`, `EABORTED`, and what LayerApplier and
 * PackedApplier throw.
 */
export async function applyLayer(request: ApplyRequest, context: JobContext): Promise<ApplyResult> {
	const { target, idMaps, expectedDiffId, expectedBlobDigest, sync } = request;
	const source = withCompression(request.source);
	const isPlain = source.compression === "none";
	const tarSizeBytes = isPlain && source.from === "range" ? source.sizeBytes : undefined;
	using receiver: LayerReceiver =
		target.form === "packed"
			? new PackedApplier(target, { idMaps, context, tarSizeBytes })
			: new LayerApplier(target, { idMaps, context });
	const reader = new TarReader(receiver);
	const take = (chunk: Uint8Array): void => {
		context.checkAborted();
		reader.write(chunk);
		receiver.bytes?.(chunk);
	};
	const read = await readLayer(request, source, take, context);
	reader.end();
	checkDigest("compressed layer", read.blobDigest, expectedBlobDigest);
	checkDigest("layer", read.diffId, expectedDiffId);
	const applied = receiver.finish(read);
	if (sync === true) syncFilesystem(target.directory);
	return { diffId: read.diffId, tarSizeBytes: read.tarSizeBytes, ...applied };
}

interface ReadLayer extends ReceivedTar {
	/** The diffID where the source is a plain tar, or where nobody asked. */
	readonly blobDigest: string;
}

/** Reads and decompresses the source, digests it, and gives the tar to `take`, chunk by chunk. */
async function readLayer(
	{ expectedBlobDigest, digestAside }: ApplyRequest,
	source: LayerSource,
	take: (chunk: Uint8Array) => void,
	context: JobContext,
): Promise<ReadLayer> {
	// Hashing twice what is the same once would cost as much as writing it.
	const isPlain = source.compression === "none";
	if (isPlain && source.from === "range" && digestAside === true)
		return await readAside(source, take, context);
	const blobHash = isPlain || expectedBlobDigest === undefined ? undefined : createHash("sha256");
	let blobBytes = 0;
	async function* blob(): AsyncGenerator<Uint8Array> {
		for await (const chunk of chunksOf(source)) {
			context.checkAborted();
			blobHash?.update(chunk);
			blobBytes += chunk.length;
			yield chunk;
			context.progress(blobBytes);
		}
	}
	const chunks = isPlain ? blob() : decompress(blob(), source.compression);
	const tar = await (digestAside === true ? digestedAside(chunks, take, context) : digested(chunks, take));
	const blobDigest = blobHash === undefined ? tar.diffId : `sha256:${blobHash.digest("hex")}`;
	return { ...tar, blobDigest };
}

async function digested(
	chunks: AsyncIterable<Uint8Array>,
	take: (chunk: Uint8Array) => void,
): Promise<ReceivedTar> {
	const hash = createHash("sha256");
	let tarSizeBytes = 0;
	for await (const chunk of chunks) {
		hash.update(chunk);
		tarSizeBytes += chunk.length;
		take(chunk);
	}
	return { diffId: `sha256:${hash.digest("hex")}` as DiffId, tarSizeBytes };
}

/** As digested, with the digest made in another thread meanwhile: a copy of each chunk costs little beside it. */
async function digestedAside(
	chunks: AsyncIterable<Uint8Array>,
	take: (chunk: Uint8Array) => void,
	context: JobContext,
): Promise<ReceivedTar> {
	using digest = new DigestAside(BUFFER_BYTES);
	let tarSizeBytes = 0;
	for await (const chunk of chunks) {
		for (let at = 0; at < chunk.length; at += BUFFER_BYTES) {
			const piece = chunk.subarray(at, at + BUFFER_BYTES);
			const slot = await digest.nextSlot(context);
			slot.set(piece);
			digest.push(piece.length);
			take(piece);
		}
		tarSizeBytes += chunk.length;
	}
	return { diffId: `sha256:${await digest.finish()}` as DiffId, tarSizeBytes };
}

/** As digestedAside, for a plain tar: it is read into the shared memory. */
async function readAside(
	{ path, offset, sizeBytes }: RangeSource,
	take: (chunk: Uint8Array) => void,
	context: JobContext,
): Promise<ReadLayer> {
	using digest = new DigestAside(BUFFER_BYTES);
	let tarSizeBytes = 0;
	for await (const chunk of readRangeInto(() => digest.nextSlot(context), path, offset, sizeBytes)) {
		digest.push(chunk.length);
		take(chunk);
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

/** A pipe to its end. The thread waits in read(2), so the writer has to be in another one. */
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
		`the ${what} has the digest ${found}, but ${expected} was expected; it is damaged, or is not the right one: fetch it again`,
	);
}
