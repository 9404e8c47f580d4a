/** The room's one error for data that cannot be decompressed. */
import { LamellaError } from "../errors/index.ts";

export function damaged(format: "gzip" | "zstd", problem: string, cause?: unknown): LamellaError {
	return new LamellaError("ECOMPRESSION", `${format} data cannot be decompressed: ${problem}`, { cause });
}

/**
 * Checks what stands behind the last gzip member or zstd frame: padding with zeros is usual (tapes, block devices),
 * anything else is not.
 * @throws {LamellaError} `ECOMPRESSION`
 */
export function checkPadding(format: "gzip" | "zstd", bytes: Uint8Array): void {
	for (const byte of bytes) {
		if (byte !== 0)
			throw damaged(format, "something that is neither compressed data nor zeros stands behind its end");
	}
}
