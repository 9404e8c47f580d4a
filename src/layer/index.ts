export { LOWERS_FAILED, LOWERS_WHOLE } from "./await-lowers.ts";
export type {
	ApplyTarget,
	ChainId,
	Change,
	DiffId,
	DiffSubject,
	OverlayXattrPrefix,
	Usage,
} from "./contract.ts";
export { chainId, type Digest, digestOf } from "./digest.ts";
export type {
	ApplyRequest,
	ApplyResult,
	Compression,
	DiffRequest,
	DiffResult,
	FlushRequest,
	LayerJobs,
	LayerSource,
} from "./job-contract.ts";
export { LAYER_JOBS } from "./layer-jobs.ts";
