export type * from "./contract.ts";
export { CONTAINERD_PREFIX, engineOf, GRAPHDRIVER_LABELS } from "./engines.ts";
export { parseLayerId } from "./layer-id.ts";
export { type LayerStoreOptions, openLayerStore } from "./open-store.ts";
export { CRASH_POINTS, type CrashPoint } from "./processes/crash-point.ts";
