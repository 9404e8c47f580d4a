/**
 * Reads gzip: all members, zero padding behind them, nothing else.
 */
import zlib from "node:zlib";
import { asDamaged, checkPadding, damaged, TRAILING } from "./damaged.ts";
import { OUTPUT_BYTES, through } from "./through.ts";

/**
 * The content of the gzip members in `source`. A chunk is good until the next one is asked for: while the consumer
 * works on it, the next one is being inflated on zlib's threads.
 * @throws {LamellaError} `ECOMPRESSION`
 */
export async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
	let magic = "";
	const watched = async function* (): AsyncGenerator<Uint8Array> {
		for await (const chunk of source) {
			if (magic.length < 4) magic += Buffer.from(chunk.subarray(0, 2)).toString("hex");
			yield chunk;
		}
	};
	try {
		yield* through(watched(), zlib.createGunzip({ chunkSize: OUTPUT_BYTES }), (rest) =>
			checkPadding("gzip", rest),
		);
	} catch (error) {
		// Where something other than zeros stands behind a member, zlib takes it for the next one.
		const isRest =
			magic.startsWith("1f8b") && error instanceof Error && error.message === "incorrect header check";
		throw isRest ? damaged("gzip", TRAILING, error) : asDamaged("gzip", error);
	}
}
