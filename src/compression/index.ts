export { compress } from "./compress.ts";
export { decompress } from "./decompress.ts";
export { DETECT_BYTES, type DetectedCompression, detectCompression } from "./detect.ts";
export { detectRange, readRange, readRangeInto } from "./read-range.ts";
