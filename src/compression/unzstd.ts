/**
 * Reads zstd: all frames, skippable ones passed over, zero padding behind them, nothing else.
 */
import zlib from "node:zlib";
import { asDamaged, checkPadding } from "./damaged.ts";
import { OUTPUT_BYTES, through } from "./through.ts";
import { ZstdFrames } from "./zstd-frames.ts";

/** As the zstd program's own limit, 128 MiB: a decoder keeps a window in memory. */
const WINDOW_LOG_MAX = 27;

/** A frame of one empty raw block. */
const EMPTY_FRAME: Uint8Array = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00);

/**
 * The content of the zstd frames in `source`. A chunk is good until the next one is asked for.
 * @throws {LamellaError} `ECOMPRESSION`
 */
export async function* unzstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
	const frames = new ZstdFrames();
	const parts = async function* (): AsyncGenerator<Uint8Array> {
		let hasFrames = false;
		for await (const chunk of source) {
			for (const bytes of frames.push(chunk)) {
				hasFrames = true;
				if (bytes.length > 0) yield bytes;
			}
		}
		frames.finish();
		// The decoder calls an empty input an error, though skippable frames alone are none.
		if (!hasFrames) yield EMPTY_FRAME;
	};
	const params = { [zlib.constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX };
	try {
		yield* through(parts(), zlib.createZstdDecompress({ chunkSize: OUTPUT_BYTES, params }), (rest) =>
			checkPadding("zstd", rest),
		);
	} catch (error) {
		throw asDamaged("zstd", error);
	}
}
