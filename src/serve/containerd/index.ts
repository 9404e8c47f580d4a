export {
	ID_MAPS_OPTIONS,
	type IdMapsOption,
	type SnapshotterOptions,
} from "./options.ts";
export { DEFAULT_CONTAINERD_SOCKET, type ServeContainerdOptions, serveContainerd } from "./serve.ts";
