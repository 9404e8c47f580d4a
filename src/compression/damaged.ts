/** The room's one error for data that cannot be decompressed. */
import { LamellaError } from "../errors/index.ts";

export const TRAILING = "something that is neither compressed data nor zeros stands behind its end";

export function damaged(format: "gzip" | "zstd", problem: string, cause?: unknown): LamellaError {
	return new LamellaError("ECOMPRESSION", `${format} data cannot be decompressed: ${problem}`, { cause });
}

/** zlib's errors have codes such as Z_DATA_ERROR and ZSTD_error_…; what the source threw is passed on as it is. */
export function asDamaged(format: "gzip" | "zstd", error: unknown): unknown {
	const code = error instanceof Error && "code" in error ? String(error.code) : "";
	if (code === "Z_BUF_ERROR") return damaged(format, "it is truncated", error);
	return /^Z(STD)?_/.test(code)
		? damaged(format, `it is damaged (${(error as Error).message})`, error)
		: error;
}

/**
 * Checks what stands behind the last gzip member or zstd frame: padding with zeros is usual (tapes, block devices),
 * anything else is not.
 * @throws {LamellaError} `ECOMPRESSION`
 */
export function checkPadding(format: "gzip" | "zstd", bytes: Uint8Array): void {
	if (bytes.some((byte) => byte !== 0)) throw damaged(format, TRAILING);
}
