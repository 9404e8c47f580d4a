/** Entry of the worker threads that do the layers' bulk file work: job names and the functions that do them. */
import type { JobFunctions } from "../jobs/index.ts";
import { applyLayer } from "./apply-job.ts";
import { changesOf } from "./changes.ts";
import { copyTree } from "./copy.ts";
import { diffSize, writeDiff } from "./diff.ts";
import { flattenTree } from "./flatten.ts";
import type { LayerJobs } from "./job-contract.ts";
import { removeTree } from "./remove.ts";
import { syncDirectory, syncFilesystem, syncTrees, writeNote } from "./sync.ts";
import { usageOf } from "./usage.ts";

export const jobs: JobFunctions<LayerJobs> = {
	apply: applyLayer,
	diff: writeDiff,
	changes: ({ subject }, context) => changesOf(subject, context),
	diffSize: ({ subject }, context) => diffSize(subject, context),
	flatten: flattenTree,
	copy: copyTree,
	remove: ({ path }, context) => removeTree(path, () => context.checkAborted()) as undefined,
	usage: ({ directories }, context) => usageOf(directories, context),
	sync: ({ path }) => syncFilesystem(path) as undefined,
	syncTrees: ({ trees, places, note }) => {
		syncTrees(trees);
		for (const place of places) syncDirectory(place);
		writeNote(note);
		return undefined;
	},
};
