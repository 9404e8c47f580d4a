/**
 * Drives a Duplex (a decoder) from an async source and hands out what it makes.
 */
import type { Duplex } from "node:stream";

/**
 * What `transform` makes of the chunks of `source`. A chunk is not kept after the source is asked for the next
 * one, so the source may reuse its buffer. The transform is destroyed when the consumer stops early.
 */
export async function* through(source: AsyncIterable<Uint8Array>, transform: Duplex): AsyncGenerator<Buffer> {
	const feeding = feed(source, transform);
	// A failure of the source destroys the transform and so reaches the loop below.
	feeding.catch(() => {});
	try {
		for await (const chunk of transform as AsyncIterable<Buffer>) yield chunk;
		await feeding;
	} finally {
		transform.destroy();
	}
}

async function feed(source: AsyncIterable<Uint8Array>, transform: Duplex): Promise<void> {
	try {
		for await (const chunk of source) await write(transform, chunk);
		transform.end();
	} catch (error) {
		transform.destroy(error instanceof Error ? error : new Error(String(error)));
		throw error;
	}
}

/** Settles when the transform needs `chunk` no longer. */
function write(transform: Duplex, chunk: Uint8Array): Promise<void> {
	return new Promise((resolve, reject) => {
		// A write that is under way when the stream is destroyed may never call back.
		const closed = (): void => reject(new Error("the consumer has stopped"));
		transform.once("close", closed);
		transform.write(chunk, (error) => {
			transform.off("close", closed);
			if (error) reject(error);
			else resolve();
		});
	});
}
