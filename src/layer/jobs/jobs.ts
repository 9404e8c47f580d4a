/** Entry of the worker threads that do the layers' bulk file work: job names and the functions that do them. */
import type { JobFunctions } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import { applyLayer } from "../apply/apply-job.ts";
import { changesOf } from "../diff/changes.ts";
import { diffSize, writeDiff } from "../diff/diff.ts";
import { checkTree } from "../overlay/check-tree.ts";
import { flattenTree } from "../overlay/flatten.ts";
import { checkImage, checkPacked } from "../packed/check-packed.ts";
import { makeImage } from "../packed/image-job.ts";
import { copyTree } from "../tree/copy.ts";
import { removeTrees } from "../tree/remove.ts";
import { flushAll, syncFilesystem } from "../tree/sync.ts";
import { usageOf } from "../tree/usage.ts";
import type { LayerJobs } from "./job-contract.ts";

export const jobs: JobFunctions<LayerJobs> = {
	apply: applyLayer,
	diff: writeDiff,
	changes: ({ subject }, context) => changesOf(subject, context),
	diffSize: ({ subject }, context) => diffSize(subject, context),
	flatten: flattenTree,
	image: makeImage,
	// A check reads all there is, while containers run: it gives way to them at the disk.
	checkPacked: ({ layer }, context) => linux.withIdleIo(() => checkPacked(layer, context)),
	checkImage: (request, context) => linux.withIdleIo(() => checkImage(request, context)),
	checkTree: (request, context) => linux.withIdleIo(() => checkTree(request, context)),
	copy: copyTree,
	remove: ({ paths }, context) => removeTrees(paths, () => context.checkAborted()) as undefined,
	usage: ({ directories }, context) => usageOf(directories, context),
	sync: ({ path }) => syncFilesystem(path) as undefined,
	remount: ({ target }) => linux.mount(null, target, null, linux.MS_REMOUNT | linux.MS_RDONLY) as undefined,
	flush: (request) => flushAll(request) as undefined,
};
