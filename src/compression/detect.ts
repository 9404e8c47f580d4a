/**
 * Which compression a stream has, told by its first bytes.
 */

/** What can be read and written. */
type Compression = "none" | "gzip" | "zstd";

/** What is recognised: the rest is named so that the message can say what to do. */
export type DetectedCompression = Compression | "bzip2" | "xz" | "lz4";

/** How many first bytes `detectCompression` wants to see; a shorter stream is shown whole. */
export const DETECT_BYTES = 10;

const MAGICS: readonly (readonly [DetectedCompression, readonly number[]])[] = [
	["gzip", [0x1f, 0x8b, 0x08]],
	["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
	["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
	["lz4", [0x04, 0x22, 0x4d, 0x18]],
];
// "BZh", a level, and the first block's or the end's mark: a tar may well begin with a file named "BZh".
const BZIP2 = /^BZh[1-9](?:1AY&SY|[^ -~]rE8P[^ -~])/;

/** The compression of what begins with `firstBytes`; `none` for everything that is not recognised. */
export function detectCompression(firstBytes: Uint8Array): DetectedCompression {
	for (const [name, magic] of MAGICS) {
		if (magic.every((byte, i) => firstBytes[i] === byte)) return name;
	}
	// A zstd stream may begin with a skippable frame.
	const isSkippable =
		((firstBytes[0] ?? 0) & 0xf0) === 0x50 &&
		firstBytes[1] === 0x2a &&
		firstBytes[2] === 0x4d &&
		firstBytes[3] === 0x18;
	if (isSkippable) return "zstd";
	if (BZIP2.test(Buffer.from(firstBytes.subarray(0, 10)).toString("latin1"))) return "bzip2";
	return "none";
}
