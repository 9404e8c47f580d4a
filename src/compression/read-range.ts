/**
 * A range of a file as chunks, read synchronously into one buffer: for workers, where that is the cheapest way.
 */
import fs from "node:fs";
import { LamellaError } from "../errors/index.ts";
import { DETECT_BYTES, type DetectedCompression, detectCompression } from "./detect.ts";

/**
 * The bytes from `offset` on, `length` of them. A chunk is good only until the next one is asked for.
 * @throws {LamellaError} `EARCHIVE` where the file is too short, `ESYSTEM` where it cannot be read.
 */
export function readRange(
	path: string,
	offset: number,
	length: number,
	bufferSizeBytes: number = 256 << 10,
): AsyncGenerator<Buffer> {
	const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(bufferSizeBytes, length)));
	return readRangeInto(() => buffer, path, offset, length);
}

/** As readRange, into buffers that the caller gives; each chunk is the beginning of the one given last. */
export async function* readRangeInto(
	nextBuffer: () => Buffer | Promise<Buffer>,
	path: string,
	offset: number,
	length: number,
): AsyncGenerator<Buffer> {
	const fd = attempt(path, () => fs.openSync(path, "r"));
	try {
		for (let done = 0; done < length; ) {
			const buffer = await nextBuffer();
			const wanted = Math.min(buffer.length, length - done);
			const got = attempt(path, () => fs.readSync(fd, buffer, 0, wanted, offset + done));
			if (got === 0) {
				throw new LamellaError(
					"EARCHIVE",
					`${path} is too short: it ends at byte ${offset + done}, and ${length - done} bytes more should follow`,
					{ path },
				);
			}
			done += got;
			yield buffer.subarray(0, got);
		}
	} finally {
		fs.closeSync(fd);
	}
}

/** The compression of the bytes from `offset` on, by the first of them. @throws {LamellaError} `ESYSTEM` */
export function detectRange(path: string, offset: number, length: number): DetectedCompression {
	const head = Buffer.alloc(Math.min(DETECT_BYTES, length));
	const fd = attempt(path, () => fs.openSync(path, "r"));
	try {
		return detectCompression(
			head.subarray(
				0,
				attempt(path, () => fs.readSync(fd, head, 0, head.length, offset)),
			),
		);
	} finally {
		fs.closeSync(fd);
	}
}

function attempt<T>(path: string, call: () => T): T {
	try {
		return call();
	} catch (error) {
		const reason = error instanceof Error ? error.message : String(error);
		throw new LamellaError("ESYSTEM", `${path} cannot be read: ${reason}`, { path, cause: error });
	}
}
