/**
 * Decompression with the guards that all formats share: cancelling, and a limit on how much comes out.
 */
import { LamellaError } from "../errors/index.ts";
import { DETECT_BYTES, type DetectedCompression, detectCompression } from "./detect.ts";
import { gunzip } from "./gunzip.ts";
import { unzstd } from "./unzstd.ts";

export interface DecompressOptions {
	/** Refuse data that gets more than this many times longer; the first 16 MiB are free. No limit unless given. */
	readonly maxRatio?: number | undefined;
	readonly signal?: AbortSignal | undefined;
}

const RATIO_FREE_BYTES = 16 << 20;

/**
 * The content of `source` without its compression; `detect` looks at its first bytes.
 *
 * Chunks are large, and each is good only until the next one is asked for: the buffer is used again. In turn,
 * `source` may reuse a chunk's buffer once it is asked for the next. Reads all gzip members and zstd frames.
 * @throws {LamellaError} `ECOMPRESSION` for data that is damaged, truncated, followed by something other than zeros, of
 * an unsupported compression, or over `maxRatio`; `EABORTED`; and what `source` throws.
 */
export async function* decompress(
	source: AsyncIterable<Uint8Array>,
	compression: DetectedCompression | "detect",
	options: DecompressOptions = {},
): AsyncGenerator<Buffer> {
	const { maxRatio, signal } = options;
	let takenBytes = 0;
	let madeBytes = 0;
	const counted = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
		for await (const chunk of chunks) {
			checkAborted(signal);
			takenBytes += chunk.length;
			yield chunk;
		}
	};
	for await (const chunk of decode(counted(source), compression)) {
		checkAborted(signal);
		madeBytes += chunk.length;
		if (maxRatio !== undefined && madeBytes > RATIO_FREE_BYTES + maxRatio * takenBytes) {
			throw new LamellaError(
				"ECOMPRESSION",
				`compressed data gets more than ${maxRatio} times longer; this looks like a decompression bomb`,
			);
		}
		yield chunk;
	}
}

async function* decode(
	source: AsyncIterable<Uint8Array>,
	compression: DetectedCompression | "detect",
): AsyncGenerator<Buffer> {
	switch (compression) {
		case "detect": {
			const chunks = source[Symbol.asyncIterator]();
			const { head, rest } = await peek(chunks);
			yield* decode(rest, detectCompression(head));
			return;
		}
		case "none":
			for await (const chunk of source) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
			return;
		case "gzip":
			yield* gunzip(source);
			return;
		case "zstd":
			yield* unzstd(source);
			return;
		default:
			throw new LamellaError(
				"ECOMPRESSION",
				`the data is compressed with ${compression}, which is not supported; use gzip, zstd or no compression`,
			);
	}
}

/** The first bytes, and an iterable of everything with them. */
async function peek(
	chunks: AsyncIterator<Uint8Array>,
): Promise<{ head: Uint8Array; rest: AsyncIterable<Uint8Array> }> {
	let head: Uint8Array = Buffer.alloc(0);
	let ended = false;
	let isCopy = true;
	while (head.length < DETECT_BYTES && !ended) {
		const next = await chunks.next();
		if (next.done === true) ended = true;
		else if (head.length === 0) {
			head = next.value;
			isCopy = false;
			// The next chunk may come in the same buffer.
			if (head.length < DETECT_BYTES) {
				head = Buffer.from(head);
				isCopy = true;
			}
		} else head = Buffer.concat([head, next.value]);
	}
	const rest = async function* (): AsyncGenerator<Uint8Array> {
		try {
			if (head.length > 0) yield head;
			if (ended) return;
			for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
		} finally {
			await chunks.return?.();
		}
	};
	return { head: isCopy ? head : Buffer.from(head.subarray(0, DETECT_BYTES)), rest: rest() };
}

function checkAborted(signal: AbortSignal | undefined): void {
	if (signal?.aborted === true) {
		throw new LamellaError("EABORTED", "decompression was cancelled", { cause: signal.reason });
	}
}
