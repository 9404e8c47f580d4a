/** Entry of the worker threads that do the layers' bulk file work: job names and the functions that do them. */
import type { JobFunctions } from "../../jobs/index.ts";
import { applyLayer } from "../apply/apply-job.ts";
import { changesOf } from "../diff/changes.ts";
import { diffSize, writeDiff } from "../diff/diff.ts";
import { flattenTree } from "../overlay/flatten.ts";
import { copyTree } from "../tree/copy.ts";
import { removeTrees } from "../tree/remove.ts";
import { flushAll, syncFilesystem, syncTrees } from "../tree/sync.ts";
import { usageOf } from "../tree/usage.ts";
import type { LayerJobs } from "./job-contract.ts";
import { withdrawNote, writeNote, writeNoteWithTree } from "./note.ts";
import { packTree, unpackTree } from "./packed-tree.ts";

export const jobs: JobFunctions<LayerJobs> = {
	apply: applyLayer,
	diff: writeDiff,
	changes: ({ subject }, context) => changesOf(subject, context),
	diffSize: ({ subject }, context) => diffSize(subject, context),
	flatten: flattenTree,
	copy: copyTree,
	remove: ({ paths }, context) => removeTrees(paths, () => context.checkAborted()) as undefined,
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
	noteTree: ({ directory, note }) => writeNoteWithTree(note, directory),
	withdrawNote: (note) => withdrawNote(note) as undefined,
	flush: (request) => flushAll(request) as undefined,
	holdsTree: ({ directory, tree }) => packTree(directory, tree.length)?.bytes.equals(tree) === true,
	restoreTree: ({ directory, tree }) => unpackTree(tree, directory) as undefined,
};
