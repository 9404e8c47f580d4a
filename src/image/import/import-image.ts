/**
 * Brings a planned image into the store: the layers that are missing are applied, and recorded together with the
 * image in one transaction. A failure leaves nothing of it.
 */
import { type ErrorCode, isLamellaError, LamellaError } from "../../errors/index.ts";
import { type ChainId, chainId } from "../../layer/index.ts";
import type { ChainLayer, LayerId, LayerStore, StoreTransaction } from "../../store/index.ts";
import type { ImageLayer, ImageName, ImageOperationOptions, ProgressEvent } from "../contract.ts";
import { type ImageRecord, imageRecords, listImages, saveImage } from "../records/catalog.ts";
import type { PlannedImage, PlannedLayer } from "./plan.ts";

/** Where layers vanish while they are counted on, somebody removes images; it cannot go on for long. */
const MAX_ATTEMPTS = 5;

type PlacedLayer = Omit<ImageLayer, "tarSizeBytes">;

/** Layers that were there when the import began are gone when it is recorded. */
class LayersVanished extends Error {
	override readonly name = "LayersVanished";
}

/**
 * `description` names the archive in errors.
 * @throws {LamellaError} what `LayerStore.importChain` throws, with the archive and the layer named
 */
export async function importPlanned(
	store: LayerStore,
	image: PlannedImage,
	names: readonly ImageName[],
	description: string,
	options: ImageOperationOptions,
): Promise<ImageRecord> {
	const chain = placeLayers(image);
	for (let attempt = 1; ; attempt++) {
		try {
			return await importOnce(store, image, chain, names, description, options);
		} catch (error) {
			if (!(error instanceof LayersVanished)) throw error;
			if (attempt < MAX_ATTEMPTS) continue;
			throw new LamellaError(
				"EBUSY",
				`layers of ${names[0] ?? image.id} were removed again and again while it was imported; try once more`,
			);
		}
	}
}

function placeLayers(image: PlannedImage): readonly PlacedLayer[] {
	let parent: ChainId | undefined;
	return image.layers.map(({ diffId }) => {
		parent = chainId(parent, diffId);
		return { diffId, chainId: parent, layer: parent as string as LayerId };
	});
}

async function importOnce(
	store: LayerStore,
	image: PlannedImage,
	chain: readonly PlacedLayer[],
	names: readonly ImageName[],
	description: string,
	options: ImageOperationOptions,
): Promise<ImageRecord> {
	const report = reporter(image, names[0] ?? image.id, options);
	const sizes = chain.map(({ layer }) => knownSize(store, layer));
	// A layer is there only when all below it are, so the missing ones are the top of the chain.
	const firstMissing = chain.findIndex(({ layer }) => !store.has(layer));
	const first = firstMissing === -1 ? chain.length : firstMissing;
	for (const i of chain.keys()) report(i, i < first ? "exists" : "waiting", 0);

	const saved: { record?: ImageRecord } = {};
	const record = (transaction: StoreTransaction): void => {
		if (!chain.every(({ layer }) => transaction.has(layer))) throw new LayersVanished();
		saved.record = saveImage(
			transaction,
			{
				id: image.id,
				createdAtMs: image.createdAtMs,
				os: image.os,
				architecture: image.architecture,
				layers: chain.map((layer, i) => ({ ...layer, tarSizeBytes: sizes[i] ?? 0 })),
				config: image.configBytes.toString(),
				manifest: image.manifestBytes?.toString(),
				manifestDigest: image.manifestDigest,
			},
			names,
		);
	};
	if (first === chain.length) {
		await store.transaction(record);
	} else {
		const parent = chain[first - 1]?.layer;
		try {
			await store.importChain(chain.slice(first).map(chainLayer(image, first)), {
				parent,
				keepExisting: true,
				signal: options.signal,
				onProgress: (index, doneBytes) => report(first + index, "applying", doneBytes),
				onApplied: (index, applied) => {
					sizes[first + index] = applied.tarSizeBytes;
					report(first + index, "done", image.layers[first + index]?.source.sizeBytes ?? 0);
				},
				also: record,
			});
		} catch (error) {
			if (parent !== undefined && isLamellaError(error, "ENOTFOUND") && !store.has(parent)) {
				throw new LayersVanished();
			}
			throw withArchive(store, error, description, image, chain);
		}
	}
	if (saved.record === undefined) throw new Error("the store did not run the import's transaction");
	return saved.record;
}

function chainLayer(image: PlannedImage, first: number): (layer: PlacedLayer, index: number) => ChainLayer {
	return ({ layer, diffId }, index) => {
		const planned = image.layers[first + index] as PlannedLayer;
		return {
			id: layer,
			source: planned.source,
			expectedDiffId: diffId,
			expectedBlobDigest: planned.blobDigest,
		};
	};
}

function reporter(
	image: PlannedImage,
	name: string,
	options: ImageOperationOptions,
): (index: number, phase: ProgressEvent["phase"], doneBytes: number) => void {
	return (index, phase, doneBytes) => {
		const layer = image.layers[index];
		options.onProgress?.({
			operation: "import",
			phase,
			image: name,
			layer: layer?.diffId,
			index,
			count: image.layers.length,
			doneBytes,
			totalBytes: layer?.source.sizeBytes,
		});
	};
}

/** What the store's message, which knows of one layer only, does not say. */
function wayOut(code: ErrorCode, store: LayerStore): string {
	if (code === "ETAR") return "; the image is damaged, or was badly made: get it anew";
	if (code === "ENOSPACE") return ` (the store is in ${store.status().root}; df, and df -i for inodes, tell)`;
	return "";
}

/** The store's error, saying which layer of which archive it is about. */
function withArchive(
	store: LayerStore,
	error: unknown,
	description: string,
	image: PlannedImage,
	chain: readonly PlacedLayer[],
): unknown {
	if (!isLamellaError(error) || error.code === "EABORTED") return error;
	const { code, message, layer, path } = error;
	const index = chain.findIndex((placed) => placed.layer === layer);
	const member = image.layers[index]?.member;
	const which = member === undefined ? "" : `layer ${index + 1} of ${chain.length} (${member}): `;
	return new LamellaError(code, `cannot import ${description}: ${which}${message}${wayOut(code, store)}`, {
		layer,
		path,
		cause: error,
	});
}

/** Of a layer that is here: as an image knows it, or else its disk use. */
function knownSize(store: LayerStore, layer: LayerId): number | undefined {
	if (!store.has(layer)) return undefined;
	for (const { layers } of listImages(imageRecords(store))) {
		const known = layers.find((other) => other.layer === layer);
		if (known !== undefined) return known.tarSizeBytes;
	}
	return store.get(layer).usage?.sizeBytes;
}
