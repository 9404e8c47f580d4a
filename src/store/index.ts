export type * from "./contract.ts";
export { CRASH_POINTS, type CrashPoint } from "./crash-point.ts";
export { CONTAINERD_PREFIX, engineOf, GRAPHDRIVER_LABELS } from "./engines.ts";
export { parseLayerId } from "./layer-id.ts";
export { type LayerStoreOptions, openLayerStore } from "./open-store.ts";
export { type StreamSource, sourceFromStream } from "./pipes.ts";
