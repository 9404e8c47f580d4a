/**
 * The state root on disk:
 *
 *     <root>/                    mode 0710
 *       store.json               says that this is a store, and of which format (marker.ts)
 *       lock                     held shared by every process that has the store open to write, alone while it is repaired
 *       metadata/                the database (SQLite): the one truth about what exists
 *       records/<namespace>/     one JSON file a record of the rooms above, for a rebuild of the database
 *       documents/<sha256>       files of the rooms above, named by their digest
 *       layers/<n>/              a layer: layer.json (sidecar), and what the driver puts there
 *       mounts/<n>/              where it is mounted, while it is
 *       mounts/<n>.json          how many holders its mount has (mount-holds.ts)
 *       staging/<owner>/<n>/     what is in the making; <owner>/ is flocked by its process
 *       trash/<name>/            what is being deleted
 *       reserve/                 room for when the disk is full (reserve.ts)
 *       lost+found/<n>           layers that no record knows; nothing is ever deleted from it
 *
 * `<n>` is the owner's six base36 characters and a count: it says who made the layer.
 */
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import * as linux from "../../linux/index.ts";

const DIRECTORY_MODE = 0o710;
export const DIGEST_PREFIX = "sha256:";

export interface Layout {
	readonly root: string;
	readonly lock: string;
	readonly metadata: string;
	readonly database: string;
	readonly records: string;
	readonly documents: string;
	readonly layers: string;
	readonly mounts: string;
	readonly staging: string;
	readonly trash: string;
	readonly lost: string;
}

/** Paths below `root`, which is made absolute. Makes nothing. */
export function layoutAt(root: string): Layout {
	const absolute = path.resolve(root);
	const below = (...names: readonly string[]): string => path.join(absolute, ...names);
	return {
		root: absolute,
		lock: below("lock"),
		metadata: below("metadata"),
		database: below("metadata", "lamella.db"),
		records: below("records"),
		documents: below("documents"),
		layers: below("layers"),
		mounts: below("mounts"),
		staging: below("staging"),
		trash: below("trash"),
		lost: below("lost+found"),
	};
}

/** Makes the root. What is there keeps its mode and owner. */
export function makeRoot(layout: Layout): void {
	linux.makeDirectory(layout.root, DIRECTORY_MODE);
}

/** Makes the directories in it that are missing. */
export function makeLayout(layout: Layout): void {
	for (const directory of [
		layout.metadata,
		layout.records,
		layout.documents,
		layout.layers,
		layout.mounts,
		layout.staging,
		layout.trash,
	]) {
		linux.makeDirectory(directory, DIRECTORY_MODE);
	}
}

/** Where a document is. @throws {LamellaError} `EINVALID` where it is not a digest */
export function documentPath(layout: Layout, digest: Digest): string {
	if (!/^sha256:[0-9a-f]{64}$/.test(digest)) {
		throw new LamellaError("EINVALID", `"${digest}" is not the digest of a document`);
	}
	return path.join(layout.documents, digest.slice(DIGEST_PREFIX.length));
}
