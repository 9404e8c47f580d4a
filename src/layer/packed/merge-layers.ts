/**
 * Merges packed layers into one tree in memory: what their chain shows.
 */
import { FileTree } from "../../erofs/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import { type LayerIndex, readIndex } from "./index-file.ts";
import { type LayerDevice, layerDevices } from "./layer-files.ts";
import { LayerMerger } from "./layer-merger.ts";

type Mergeable = Pick<LayerIndex, "entries" | "xattrSets">;

const CHECK_EVERY = 1024;

export interface MergedLayers {
	readonly tree: FileTree;
	/** In the order of the image's device table. */
	readonly devices: readonly LayerDevice[];
}

/**
 * What the packed layers in `directories` (top first) show together.
 * @throws {LamellaError} `ECORRUPT` for an index that is missing or damaged, `EABORTED`, and as `mergeIndex`
 */
export function mergeLayers(directories: readonly string[], context: JobContext): MergedLayers {
	const tree = new FileTree();
	const devices: LayerDevice[] = [];
	for (const directory of [...directories].reverse()) {
		const index = readIndex(directory);
		mergeIndex(tree, index, devices.length, context);
		devices.push(...layerDevices(directory, index));
	}
	return { tree, devices };
}

/**
 * Applies one layer to the tree of those below, who have so many devices.
 * @throws {LamellaError} `ETAR`, `EUNSAFE` for a layer that cannot be applied over those below
 */
export function mergeIndex(
	tree: FileTree,
	index: Mergeable,
	devicesBelow: number,
	context: JobContext,
): LayerMerger {
	const { entries, xattrSets } = index;
	const merger = new LayerMerger(tree, { firstDevice: devicesBelow + 1, xattrSets });
	let start = 0;
	for (let entry = 0; entry < entries.count; entry++) {
		if (entry % CHECK_EVERY === 0) context.checkAborted();
		merger.add(entries, entry, start);
		start += entries.pathLength(entry) + entries.targetLength(entry);
	}
	merger.finish();
	return merger;
}

/**
 * Tries a layer over those below (directories, top first), and counts what it then holds: see ApplyResult.
 * @throws {LamellaError} as `mergeLayers`
 */
export function contentOver(index: Mergeable, lowers: readonly string[], context: JobContext): number {
	const { tree, devices } = mergeLayers(lowers, context);
	return mergeIndex(tree, index, devices.length, context).contentSizeBytes();
}
