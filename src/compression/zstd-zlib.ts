/**
 * zstd in node:zlib, which is there from Node 22.15 on (the type declarations are those of Node 20).
 */
import type { Transform } from "node:stream";
import zlib from "node:zlib";

interface ZstdOptions {
	readonly chunkSize?: number;
	readonly params?: { readonly [parameter: number]: number };
}

interface ZstdZlib {
	readonly createZstdDecompress?: (options: ZstdOptions) => Transform;
	readonly createZstdCompress?: (options: ZstdOptions) => Transform;
}

const ZSTD_C_COMPRESSION_LEVEL = 100;
const ZSTD_C_CHECKSUM_FLAG = 201;
const CHUNK_BYTES = 1 << 20;
const zstdZlib: ZstdZlib = zlib as ZstdZlib;

/** `undefined` where this Node has no zstd. */
export function zlibZstdDecompress(): Transform | undefined {
	return zstdZlib.createZstdDecompress?.({ chunkSize: CHUNK_BYTES });
}

/** `undefined` where this Node has no zstd. */
export function zlibZstdCompress(level: number): Transform | undefined {
	return zstdZlib.createZstdCompress?.({
		chunkSize: CHUNK_BYTES,
		params: { [ZSTD_C_COMPRESSION_LEVEL]: level, [ZSTD_C_CHECKSUM_FLAG]: 1 },
	});
}
