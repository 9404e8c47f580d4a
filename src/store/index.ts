export type * from "./contract.ts";
export { parseLayerId } from "./layer-id.ts";
export { type LayerStoreOptions, openLayerStore } from "./open-store.ts";
export { CRASH_POINTS, type CrashPoint } from "./processes/crash-point.ts";
