/** The door for who only looks at what the records say: it loads a small part of the store. */
export { type LayerReaderOptions, type OpenLayerReader, openLayerReader } from "./open-reader.ts";
