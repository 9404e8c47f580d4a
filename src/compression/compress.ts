/**
 * Compression as a stream: gzip by Node, zstd by Node or by the machine's zstd program.
 */
import type { Duplex } from "node:stream";
import zlib from "node:zlib";
import { LamellaError } from "../errors/index.ts";
import { findHostZstd, HostZstd } from "./host-zstd.ts";
import { zlibZstdCompress } from "./zstd-zlib.ts";

const CHUNK_BYTES = 256 << 10;

export interface CompressOptions {
	/** gzip 1 to 9 (6 unless told), zstd 1 to 19 (3 unless told). */
	readonly level?: number | undefined;
}

/**
 * A stream that compresses what is written to it. gzip output has no name and no time in its header, so equal input
 * gives equal output (by the same version of zlib).
 * @throws {LamellaError} `EINVALID` for a level out of range, `ENOTSUPPORTED` for zstd where neither Node (22.15 and
 * newer) nor a zstd program in /usr/bin, /bin or /usr/local/bin can do it.
 */
export function compress(compression: "gzip" | "zstd", options: CompressOptions = {}): Duplex {
	const level = options.level ?? (compression === "gzip" ? 6 : 3);
	const highest = compression === "gzip" ? 9 : 19;
	if (!Number.isInteger(level) || level < 1 || level > highest) {
		throw new LamellaError("EINVALID", `${compression} has the levels 1 to ${highest}, not ${level}`);
	}
	if (compression === "gzip") return zlib.createGzip({ level, chunkSize: CHUNK_BYTES });
	const stream = zlibZstdCompress(level);
	if (stream !== undefined) return stream;
	const program = findHostZstd();
	if (program === undefined) {
		throw new LamellaError(
			"ENOTSUPPORTED",
			"zstd compression needs Node 22.15 or newer, or the zstd program (apt-get install zstd); or choose gzip",
		);
	}
	return new HostZstd(program, ["-c", "-q", `-${level}`]);
}
