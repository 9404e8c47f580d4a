export type * from "./contract.ts";
export { CRASH_POINTS, type CrashPoint } from "./crash-point.ts";
export { parseLayerId } from "./layer-id.ts";
export { type LayerStoreOptions, openLayerStore } from "./open-store.ts";
