/** Entry of the worker threads that do the layers' bulk file work: job names and the functions that do them. */
import type { JobFunctions } from "../jobs/index.ts";
import { applyLayer } from "./apply-job.ts";
import { changesOf } from "./changes.ts";
import { copyTree } from "./copy.ts";
import { diffSize, writeDiff } from "./diff.ts";
import { flattenTree } from "./flatten.ts";
import type { LayerJobs } from "./job-contract.ts";
import { removeTree } from "./remove.ts";
import { syncFilesystem, syncTrees, writeNote } from "./sync.ts";
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
	sync: ({ path, note }) => {
		syncFilesystem(path);
		if (note !== undefined) writeNote(note);
		return undefined;
	},
	syncTrees: ({ directories, note }) => {
		syncTrees(directories);
		writeNote(note);
		return undefined;
	},
};
