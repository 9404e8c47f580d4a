/** Entry for callers that only look at what the records say: it loads a small part of the store. */
export { type LayerReaderOptions, type OpenLayerReader, openLayerReader } from "./open-reader.ts";
