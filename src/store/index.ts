export type * from "./contract.ts";
export { CRASH_POINTS, type CrashPoint } from "./crash-point.ts";
export { LAYER_ID_MAX_BYTES, parseLayerId } from "./layer-id.ts";
export { type LayerStoreOptions, openLayerStore } from "./open-store.ts";
export { type StreamSource, sourceFromStream } from "./pipes.ts";
