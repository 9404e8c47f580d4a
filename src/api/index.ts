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
	ProgressEvent,
	RemovedImage,
} from "../image/index.ts";
export type { ChainId, Change, Compression, DiffId, Digest, Usage } from "../layer/index.ts";
export type { FlattenPolicy, Labels, LayerId, LayerInfo, LayerStore, Mount } from "../store/index.ts";
export { type OpenStoreOptions, openStore } from "./open.ts";
export { stateRoot } from "./state-root.ts";
export {
	type ApplyLayerOptions,
	type ChangesOptions,
	type CreateLayerOptions,
	type Inspection,
	type LayerDiffOptions,
	Store,
	type StoreEvents,
	type StoreStatus,
} from "./store.ts";
export type { TreeNode } from "./tree.ts";
