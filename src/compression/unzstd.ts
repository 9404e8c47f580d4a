/**
 * Reads zstd: all frames, skippable ones passed over, zero padding behind them, nothing else.
 */
import { Decompress } from "fzstd";
import { isLamellaError } from "../errors/index.ts";
import { damaged } from "./damaged.ts";
import { findHostZstd, HostZstd } from "./host-zstd.ts";
import { through } from "./through.ts";
import { ZstdFrames } from "./zstd-frames.ts";
import { zlibZstdDecompress } from "./zstd-zlib.ts";

/** Who decompresses: Node's zlib, the machine's zstd program, or JavaScript. */
export type ZstdEngine = "zlib" | "program" | "javascript";

/** The fastest that there is. */
export function chooseZstdEngine(): ZstdEngine {
	const zlib = zlibZstdDecompress();
	zlib?.destroy();
	if (zlib !== undefined) return "zlib";
	return findHostZstd() === undefined ? "javascript" : "program";
}

/**
 * The content of the zstd frames in `source`.
 * @throws {LamellaError} `ECOMPRESSION`
 */
export async function* unzstd(
	source: AsyncIterable<Uint8Array>,
	engine: ZstdEngine = chooseZstdEngine(),
): AsyncGenerator<Buffer> {
	const frames = new ZstdFrames();
	if (engine === "javascript") {
		yield* decodeByFzstd(source, frames);
		return;
	}
	const program = engine === "program" ? findHostZstd() : undefined;
	const decoder = program === undefined ? zlibZstdDecompress() : new HostZstd(program, ["-d", "-c", "-q"]);
	if (decoder === undefined) throw new Error(`there is no zstd engine "${engine}"`);
	let hasFrames = false;
	const parts = async function* (): AsyncGenerator<Uint8Array> {
		for await (const chunk of source) {
			for (const { bytes } of frames.push(chunk)) {
				hasFrames = true;
				if (bytes.length > 0) yield bytes;
			}
		}
		frames.finish();
		// The decoders call an empty input an error, though skippable frames alone are none.
		if (!hasFrames) yield EMPTY_FRAME;
	};
	try {
		yield* through(parts(), decoder);
	} catch (error) {
		throw explain(error);
	}
}

/** A frame of one empty raw block. */
const EMPTY_FRAME: Uint8Array = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00);

async function* decodeByFzstd(source: AsyncIterable<Uint8Array>, frames: ZstdFrames): AsyncGenerator<Buffer> {
	let output: Uint8Array[] = [];
	const begin = (): Decompress => new Decompress((chunk) => output.push(chunk));
	let decoder = begin();
	for await (const chunk of source) {
		for (const { bytes, endsFrame } of frames.push(chunk)) {
			try {
				// It keeps what it cannot use yet, and the chunk may be reused.
				decoder.push(Uint8Array.from(bytes), endsFrame);
			} catch (error) {
				throw explain(error);
			}
			if (endsFrame) decoder = begin();
			for (const made of output) {
				if (made.length > 0) yield Buffer.from(made.buffer, made.byteOffset, made.byteLength);
			}
			output = [];
		}
	}
	frames.finish();
}

function explain(error: unknown): unknown {
	if (isLamellaError(error) || !(error instanceof Error)) return error;
	const code: unknown = (error as { code?: unknown }).code;
	const isDecoders =
		typeof code === "number" || String(code).startsWith("ZSTD_") || error.message.startsWith("zstd: ");
	return isDecoders || error.name === "RangeError"
		? damaged("zstd", `it is damaged (${error.message})`, error)
		: error;
}
