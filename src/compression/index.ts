export { type CompressOptions, compress } from "./compress.ts";
export { type DecompressOptions, decompress } from "./decompress.ts";
export { type Compression, DETECT_BYTES, type DetectedCompression, detectCompression } from "./detect.ts";
export { readRange } from "./read-range.ts";
