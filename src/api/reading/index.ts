/** Entry for callers that only list, as commands do: it loads a small part of the library. */
export { openReader, type StoreReader } from "./open-reader.ts";
