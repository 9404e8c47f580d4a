/**
 * What a new image goes on from: the config of the image that its layer was made from, or of the nearest image below,
 * and all layers under it, also those that no image has.
 */
import { type ChainId, chainId, type DiffId } from "../../layer/index.ts";
import type { LayerInfo, LayerStore } from "../../store/index.ts";
import type { CommitOptions, ImageLayer } from "../contract.ts";
import { emptyConfig } from "../documents/edit-config.ts";
import { BASE_IMAGE_LABEL, listImages } from "../records/catalog.ts";
import { configOf } from "../records/documents.ts";

export interface Base {
	readonly config: Buffer;
	/** All layers below the active one, bottom first. */
	readonly layers: readonly ImageLayer[];
	/** Those of them that the config does not have. */
	readonly missing: readonly { diffId: DiffId; createdAtMs: number; createdBy: string }[];
}

export async function baseOf(store: LayerStore, active: LayerInfo, options: CommitOptions): Promise<Base> {
	const below = store.chain(active.id).toReversed();
	const images = listImages(store);
	const preferred = active.labels[BASE_IMAGE_LABEL];
	for (let count = below.length; count > 0; count--) {
		const top = below[count - 1]?.id;
		const ending = images.filter(({ layers }) => layers.length === count && layers.at(-1)?.layer === top);
		const image = ending.find(({ id }) => id === preferred) ?? ending[0];
		if (image === undefined) continue;
		const config = configOf(store, image);
		return { config, ...(await withLayers(store, image.layers, below.slice(count), options)) };
	}
	return { config: emptyConfig(), ...(await withLayers(store, [], below, options)) };
}

/** Layers that no image has: what is not known of their tars is found out by making them. */
async function withLayers(
	store: LayerStore,
	known: readonly ImageLayer[],
	more: readonly LayerInfo[],
	options: CommitOptions,
): Promise<Omit<Base, "config">> {
	const layers = [...known];
	const missing: Base["missing"][number][] = [];
	let chain: ChainId | undefined = known.at(-1)?.chainId;
	for (const { id, createdAtNs, diffId: recorded } of more) {
		const { stream, result } = store.diff(id, {
			signal: options.signal,
			skipUnsupported: options.skipUnsupported,
		});
		// Only its digest is wanted. A failure is the stream's error, too, which then has somebody to hear it.
		stream.on("error", () => undefined).resume();
		const diff = await result;
		const diffId = recorded ?? diff.diffId;
		if (recorded === undefined) await store.setDiffId(id, diffId);
		chain = chainId(chain, diffId);
		layers.push({ diffId, chainId: chain, layer: id, tarSizeBytes: diff.tarSizeBytes });
		missing.push({ diffId, createdAtMs: Number(createdAtNs / 1_000_000n), createdBy: `lamella layer ${id}` });
	}
	return { layers, missing };
}
