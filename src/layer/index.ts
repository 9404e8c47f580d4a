export { LOWERS_FAILED, LOWERS_WHOLE } from "./apply/await-lowers.ts";
export type {
	ApplyTarget,
	ChainId,
	Change,
	DiffId,
	DiffSubject,
	KeptTar,
	OverlayXattrPrefix,
	PackedTarget,
	TreeTarget,
	Usage,
	Warning,
	WarningKind,
} from "./contract.ts";
export { chainId, type Digest, digestOf } from "./digest/digest.ts";
export type {
	ApplyRequest,
	ApplyResult,
	CheckImageRequest,
	Compression,
	DiffRequest,
	DiffResult,
	FlushRequest,
	ImageRequest,
	ImageResult,
	LayerJobs,
	LayerSource,
	TreeProblem,
} from "./jobs/job-contract.ts";
export { LAYER_JOBS } from "./jobs/layer-jobs.ts";
export { lookAtLayerFiles } from "./packed/check-packed.ts";
export { diffIdDigits, readDeviceTag, type TaggedDevice } from "./packed/device-tag.ts";
export { type FileIdentity, lookAtLayerFile, openLayerFile } from "./packed/layer-files.ts";
export { keptTar } from "./packed/packed-diff.ts";
export { joinWarnings } from "./warnings.ts";
