/**
 * Compression as a stream, by node:zlib.
 */
import type { Duplex } from "node:stream";
import zlib from "node:zlib";
import { LamellaError } from "../errors/index.ts";
import { OUTPUT_BYTES } from "./through.ts";

export interface CompressOptions {
	/** gzip 1 to 9 (6 unless told), zstd 1 to 19 (3 unless told). */
	readonly level?: number | undefined;
}

/**
 * A stream that compresses what is written to it. gzip output has no name and no time in its header, so equal input
 * gives equal output (by the same version of zlib).
 * @throws {LamellaError} `EINVALID` for a level out of range
 */
export function compress(compression: "gzip" | "zstd", options: CompressOptions = {}): Duplex {
	const level = options.level ?? (compression === "gzip" ? 6 : 3);
	const highest = compression === "gzip" ? 9 : 19;
	if (!Number.isInteger(level) || level < 1 || level > highest) {
		throw new LamellaError("EINVALID", `${compression} has the levels 1 to ${highest}, not ${level}`);
	}
	if (compression === "gzip") return zlib.createGzip({ level, chunkSize: OUTPUT_BYTES });
	const { ZSTD_c_compressionLevel, ZSTD_c_checksumFlag } = zlib.constants;
	const params = { [ZSTD_c_compressionLevel]: level, [ZSTD_c_checksumFlag]: 1 };
	return zlib.createZstdCompress({ chunkSize: OUTPUT_BYTES, params });
}
