/** Entry of the worker threads that do the layers' bulk file work: job names and the functions that do them. */
import type { JobFunctions } from "../jobs/index.ts";
import { applyLayer } from "./apply-job.ts";
import { changesOf } from "./changes.ts";
import { copyTree } from "./copy.ts";
import { diffSize, writeDiff } from "./diff.ts";
import { flattenTree } from "./flatten.ts";
import type { LayerJobs } from "./job-contract.ts";
import { removeTrees } from "./remove.ts";
import { flushAll, syncFilesystem } from "./sync.ts";
import { usageOf } from "./usage.ts";

export const jobs: JobFunctions<LayerJobs> = {
	apply: applyLayer,
	diff: writeDiff,
	changes: ({ subject }, context) => changesOf(subject, context),
	diffSize: ({ subject }, context) => diffSize(subject, context),
	flatten: flattenTree,
	copy: copyTree,
	remove: ({ paths }, context) => removeTrees(paths, () => context.checkAborted()) as undefined,
	usage: ({ directories }, context) => usageOf(directories, context),
	sync: ({ path }) => syncFilesystem(path) as undefined,
	flush: (request) => flushAll(request) as undefined,
};
