/** What a store's records say, for lists: the part of a Store that needs no operation. */
import { LamellaError } from "../../errors/index.ts";
import type { ImageInfo } from "../../image/index.ts";
import { listImages } from "../../image/records/index.ts";
import type { CheckpointInfo, LayerId, LayerInfo } from "../../store/index.ts";
import { openLayerReader } from "../../store/reading/index.ts";
import type { OpenStoreOptions } from "../open.ts";
import { stateRoot } from "../state-root.ts";
import { layerTree, type TreeNode } from "../tree.ts";

/** As the methods of the same names of a Store. */
export interface StoreReader extends Disposable {
	images(): readonly ImageInfo[];
	layers(): readonly LayerInfo[];
	tree(): readonly TreeNode[];
	/** @throws {LamellaError} `ENOTFOUND` */
	history(name: string): readonly CheckpointInfo[];
}

/**
 * Opens a store for looking, with the checks of `openStore`. Bind it with `using`.
 * @throws {LamellaError} `EPERMISSION`, `ENATIVE`, `ECONFIG`, `ECORRUPT`, `EABORTED`
 */
export function openReader({
	root: given,
	driver,
	signal,
}: Pick<OpenStoreOptions, "root" | "driver" | "signal">): StoreReader {
	const root = stateRoot(given);
	refuseAborted(root, signal);
	const reader = openLayerReader({ root, driver });
	const images = (): readonly ImageInfo[] => listImages(reader);
	const layers = (): readonly LayerInfo[] => [...reader.list()];
	return {
		images,
		layers,
		tree: () => layerTree(layers(), images()),
		history: (name) => reader.history(name as LayerId),
		[Symbol.dispose]: () => reader[Symbol.dispose](),
	};
}

/** @throws {LamellaError} `EABORTED` */
export function refuseAborted(root: string, signal: AbortSignal | undefined): void {
	if (signal?.aborted !== true) return;
	throw new LamellaError("EABORTED", `opening the store at ${root} was cancelled`, { cause: signal.reason });
}
