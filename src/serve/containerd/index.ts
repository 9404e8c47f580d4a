/** The snapshotter; `serve.ts` is loaded by who starts one, for it brings gRPC with it. */
export {
	DEFAULT_CONTAINERD_SOCKET,
	ID_MAPS_OPTIONS,
	type IdMapsOption,
	type SnapshotterOptions,
} from "./options.ts";
