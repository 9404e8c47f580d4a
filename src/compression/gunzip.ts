/**
 * Reads gzip: all members, zero padding behind them, nothing else.
 */
import { Buffer } from "node:buffer";
import zlib from "node:zlib";
import { isLamellaError } from "../errors/index.ts";
import { checkPadding, damaged } from "./damaged.ts";
import { Inflater } from "./inflater.ts";

const OUTPUT_BYTES = 1 << 20;
const NOTHING: Uint8Array = new Uint8Array(0);

/**
 * The content of the gzip members in `source`. A chunk is good until the next one is asked for: while the consumer
 * works on it, the next one is being inflated on zlib's threads.
 * @throws {LamellaError} `ECOMPRESSION`
 */
export function gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
	const inflater = Inflater.create();
	return inflater === undefined ? gunzipByStream(source) : gunzipInto(source, inflater);
}

async function* gunzipInto(source: AsyncIterable<Uint8Array>, inflater: Inflater): AsyncGenerator<Buffer> {
	const chunks = source[Symbol.asyncIterator]();
	let input = NOTHING;
	let inputEnded = false;
	let inPadding = false;

	/** Fills `output` with what comes next; `undefined` at the end. */
	const fill = async (output: Buffer): Promise<Buffer | undefined> => {
		for (;;) {
			if (input.length === 0 && !inputEnded) {
				const next = await chunks.next();
				if (next.done === true) inputEnded = true;
				else input = next.value;
				if (input.length === 0 && !inputEnded) continue;
			}
			if (inPadding) {
				checkPadding("gzip", input);
				input = NOTHING;
				if (inputEnded) return undefined;
				continue;
			}
			try {
				await inflater.write(input, output, inputEnded);
			} catch (error) {
				throw explain(error);
			}
			input = inflater.inputLeft === 0 ? NOTHING : input.subarray(-inflater.inputLeft);
			// zlib stops before a zero byte behind a member, though it has room.
			if (input.length > 0 && inflater.outputLeft > 0) inPadding = true;
			const length = output.length - inflater.outputLeft;
			if (length > 0) return output.subarray(0, length);
			if (inputEnded) return undefined;
		}
	};

	const buffers: [Buffer, Buffer] = [
		Buffer.allocUnsafeSlow(OUTPUT_BYTES),
		Buffer.allocUnsafeSlow(OUTPUT_BYTES),
	];
	let ahead = fill(buffers[0]);
	try {
		for (let turn = 1; ; turn++) {
			const filled = await ahead;
			if (filled === undefined) return;
			ahead = fill(buffers[turn % 2 === 0 ? 0 : 1]);
			// It may fail while the consumer has the chunk before; the next turn, or nobody, hears of it.
			ahead.catch(() => {});
			yield filled;
		}
	} finally {
		// The binding must not be closed under a thread that uses it.
		await ahead.catch(() => {});
		inflater.close();
		await chunks.return?.();
	}
}

/** The same by Node's public stream. */
export async function* gunzipByStream(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
	const chunks = source[Symbol.asyncIterator]();
	const stream = zlib.createGunzip({ chunkSize: OUTPUT_BYTES });
	let input = NOTHING;
	let inputAt = 0;
	const feed = async (): Promise<void> => {
		for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
			inputAt += input.length;
			input = next.value;
			await new Promise<void>((resolve, reject) => {
				stream.write(input, (error) => (error ? reject(error) : resolve()));
			});
			// The stream has ended before its input: what stands there is looked at below.
			if (stream.bytesWritten < inputAt + input.length) return;
		}
		stream.end();
	};
	feed().catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))));
	try {
		for await (const chunk of stream as AsyncIterable<Buffer>) yield chunk;
		if (stream.bytesWritten < inputAt + input.length) {
			checkPadding("gzip", input.subarray(stream.bytesWritten - inputAt));
			for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
				checkPadding("gzip", next.value);
			}
		}
	} catch (error) {
		throw explain(error);
	} finally {
		stream.destroy();
		await chunks.return?.();
	}
}

/** zlib's errors have codes such as Z_DATA_ERROR; what the source threw is passed on as it is. */
function explain(error: unknown): unknown {
	if (isLamellaError(error) || !(error instanceof Error)) return error;
	const code = (error as NodeJS.ErrnoException).code ?? "";
	if (code === "Z_BUF_ERROR") return damaged("gzip", "it is truncated", error);
	return code.startsWith("Z_") ? damaged("gzip", `it is damaged (${error.message})`, error) : error;
}
