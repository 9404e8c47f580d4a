export type {
	CommitOptions,
	ExportResult,
	ImageDetails,
	ImageExportOptions,
	ImageId,
	ImageInfo,
	ImageInput,
	ImageLayer,
	ImageName,
	ImageOutput,
	ImportOptions,
	MadeImage,
	ProgressEvent,
	PulledImage,
	PullOptions,
	PullPolicy,
	PushOptions,
	PushResult,
	RegistryAccess,
	RemovedImage,
	RepoDigest,
} from "../image/index.ts";
export type { RegistryImage } from "../image/pull/index.ts";
export type {
	ChainId,
	Change,
	Compression,
	DiffId,
	DiffResult,
	Digest,
	Usage,
	Warning,
	WarningKind,
} from "../layer/index.ts";
export type {
	CheckpointInfo,
	CheckReport,
	Finding,
	FindingKind,
	FlattenPolicy,
	Freezer,
	Labels,
	LayerId,
	LayerInfo,
	LayerStore,
	Mount,
} from "../store/index.ts";
export type { AppliedLayer } from "./apply-layer.ts";
export { cgroupFreezer } from "./cgroup-freezer.ts";
export { type InnerPath, MountedLayer, type OpenFlags, type ResolvedPath } from "./mounted-layer.ts";
export { type OpenStoreOptions, openStore } from "./open.ts";
export { type ManifestOptions, openRegistry, Registry, type RegistryOptions } from "./registry/index.ts";
export { stateRoot } from "./state-root.ts";
export {
	type ApplyLayerOptions,
	type ChangesOptions,
	type CheckpointOptions,
	type CreateLayerOptions,
	type ForkOptions,
	type Inspection,
	type LayerDiff,
	type LayerDiffOptions,
	type MountOptions,
	type RollbackOptions,
	Store,
	type StoreCheckOptions,
	type StoreEvents,
	type StoreStatus,
} from "./store.ts";
export type { TreeNode } from "./tree.ts";
