/**
 * The state root on disk:
 *
 *     <root>/                    mode 0710
 *       lock                     held shared by every process that has the store open, alone while it is repaired
 *       metadata/                the database (lmdb)
 *       records/<namespace>/     one JSON file a record of the rooms above, for a rebuild of the database
 *       layers/<n>/              a layer: layer.json (sidecar), mounts.json (holds), and what the driver puts there
 *       staging/<owner>/<n>/     layers in the making; <owner>/ is flocked by its process
 *       staging/<owner>/promises commits that are durable and not yet recorded
 *       trash/<name>/            what is being deleted
 *       reserve/                 room for when the disk is full (reserve.ts)
 *       lost/<name>/             what a rebuild could not make sense of; nothing is ever deleted from it
 *
 * `<n>` is the owner's six base36 characters and a count: it says whose an unrecorded layer is.
 */
import path from "node:path";
import * as linux from "../linux/index.ts";

const DIRECTORY_MODE = 0o710;

export interface Layout {
	readonly root: string;
	readonly lock: string;
	readonly metadata: string;
	readonly records: string;
	readonly layers: string;
	readonly staging: string;
	readonly trash: string;
	readonly lost: string;
}

/** Paths below `root`, which is made absolute. Makes nothing. */
export function layoutAt(root: string): Layout {
	const absolute = path.resolve(root);
	const below = (name: string): string => path.join(absolute, name);
	return {
		root: absolute,
		lock: below("lock"),
		metadata: below("metadata"),
		records: below("records"),
		layers: below("layers"),
		staging: below("staging"),
		trash: below("trash"),
		lost: below("lost"),
	};
}

/** Makes the directories that are missing. What is there keeps its mode and owner. */
export function makeLayout(layout: Layout): void {
	for (const directory of [
		layout.root,
		layout.metadata,
		layout.records,
		layout.layers,
		layout.staging,
		layout.trash,
	]) {
		linux.makeDirectory(directory, DIRECTORY_MODE);
	}
}
