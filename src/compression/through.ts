/**
 * Drives a decoder of node:zlib from an async source and hands out what it makes.
 *
 * The decoder allocates every output buffer anew, and the garbage collector gives them back late: that costs fresh pages for
 * each megabyte. So a buffer is given back here by hand, once the consumer is done with it (`bench/compression.ts`).
 */
import type { Transform } from "node:stream";

/** Large: the default of 16 KiB costs two to three times the CPU time. */
export const OUTPUT_BYTES: number = 1 << 20;

/** A stream of node:zlib: it counts what it took of its input. */
type Decoder = Transform & { readonly bytesWritten: number };

/**
 * What `decoder` makes of the chunks of `source`. A chunk is good only until the next one is asked for; in turn, a chunk
 * of the source is not kept after the source is asked for the next. What the decoder leaves because its format has ended
 * goes to `checkRest`, piece by piece.
 */
export async function* through(
	source: AsyncIterable<Uint8Array>,
	decoder: Decoder,
	checkRest: (bytes: Uint8Array) => void,
): AsyncGenerator<Buffer> {
	let isWriting = false;
	const feed = async (): Promise<void> => {
		let givenBytes = 0;
		for await (const chunk of source) {
			const hasEnded = decoder.bytesWritten < givenBytes;
			if (!hasEnded) {
				isWriting = true;
				await write(decoder, chunk);
				isWriting = false;
			}
			givenBytes += chunk.length;
			const left = givenBytes - decoder.bytesWritten;
			if (left > 0) checkRest(hasEnded ? chunk : chunk.subarray(-left));
		}
		if (decoder.bytesWritten === givenBytes) decoder.end();
	};
	// Both the loop below and `feeding` tell of a failure; the event that tells it to neither must not end the process.
	decoder.on("error", () => {});
	const feeding = feed();
	feeding.catch((error: unknown) =>
		decoder.destroy(error instanceof Error ? error : new Error(String(error))),
	);
	try {
		for await (const chunk of decoder as AsyncIterable<Buffer>) {
			yield chunk;
			giveBack(chunk);
		}
		await feeding;
	} finally {
		decoder.destroy();
		// The source closes before this returns, unless it waits for bytes that may never come.
		if (isWriting) await feeding.catch(() => {});
	}
}

/** Frees a buffer whose last bytes are `chunk`: the decoder has filled it and writes to the next one. */
function giveBack({ buffer, byteOffset, length }: Buffer): void {
	const isFilled = buffer.byteLength === OUTPUT_BYTES && byteOffset + length === OUTPUT_BYTES;
	if (isFilled && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** Settles when the decoder needs `chunk` no longer. */
function write(decoder: Decoder, chunk: Uint8Array): Promise<void> {
	return new Promise((resolve, reject) => {
		// A write that is under way when the stream is destroyed may never call back.
		const closed = (): void => reject(new Error("the consumer has stopped"));
		decoder.once("close", closed);
		decoder.write(chunk, (error) => {
			decoder.off("close", closed);
			if (error) reject(error);
			else resolve();
		});
	});
}
