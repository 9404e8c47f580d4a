export { DEFAULT_SNAPSHOTTER_OPTIONS, type SnapshotterOptions } from "./options.ts";
export { DEFAULT_CONTAINERD_SOCKET, type ServeContainerdOptions, serveContainerd } from "./serve.ts";
