/**
 * Brings a planned image into the store: the layers that are missing are applied, and recorded together with the
 * image in one transaction. A failure leaves nothing of it.
 */
import { type ErrorCode, isLamellaError, LamellaError } from "../../errors/index.ts";
import { type ChainId, chainId, joinWarnings, type Warning } from "../../layer/index.ts";
import type { ChainLayer, LayerId, LayerInfo, LayerStore, StoreTransaction } from "../../store/index.ts";
import type {
	ImageInfo,
	ImageLayer,
	ImageName,
	ImageOperationOptions,
	MadeImage,
	ProgressEvent,
} from "../contract.ts";
import { verifyDigest } from "../documents/parse.ts";
import { listImages, saveImage } from "../records/catalog.ts";
import { documentsOf } from "../records/documents.ts";
import type { PlannedImage, PlannedLayer } from "./plan.ts";

/** Layers that vanish meanwhile are removed by somebody; that cannot go on for long. */
const MAX_ATTEMPTS = 5;

type PlacedLayer = Omit<ImageLayer, "tarSizeBytes">;

/** Layers that were there when the import began are gone when it is recorded. */
class LayersVanished extends Error {
	override readonly name = "LayersVanished";
}

export interface ImportPlannedOptions extends ImageOperationOptions {
	readonly operation: "import" | "pull";
	/** Names the archive, or what is pulled, in errors. */
	readonly from: string;
}

/**
 * @throws {LamellaError} what `LayerStore.importChain` throws, with the archive and the layer named
 */
export async function importPlanned(
	store: LayerStore,
	image: PlannedImage,
	names: readonly ImageName[],
	options: ImportPlannedOptions,
): Promise<MadeImage> {
	const wanted = placeLayers(image);
	for (let attempt = 1; ; ) {
		await putDocuments(store, image, options.from);
		let chain = wanted;
		try {
			const there = withLayersThatAreThere(store, wanted);
			chain = there.chain;
			return await importOnce(store, image, there, names, options);
		} catch (error) {
			if (isGone(error, chain) && attempt++ < MAX_ATTEMPTS) continue;
			if (comesAgain(error, image, chain)) continue;
			await store.documents.discard(documentsOf(image));
			if (!isGone(error, chain)) throw withArchive(store, error, image, chain, options);
			throw new LamellaError(
				"EBUSY",
				`layers of ${names[0] ?? image.id} were removed again and again during the import; try once more`,
			);
		}
	}
}

/** Whether the layer that an error is about may be another when it is taken once more. */
function comesAgain(error: unknown, image: PlannedImage, chain: readonly PlacedLayer[]): boolean {
	if (!isLamellaError(error)) return false;
	const index = chain.findIndex(({ layer }) => layer === error.layer);
	return image.layers[index]?.again?.(error) === true;
}

function placeLayers(image: PlannedImage): readonly PlacedLayer[] {
	let parent: ChainId | undefined;
	return image.layers.map(({ diffId }) => {
		parent = chainId(parent, diffId);
		return { diffId, chainId: parent, layer: parent as string as LayerId };
	});
}

/** Whether what an import counted on was removed meanwhile: a layer, or one of its documents. */
function isGone(error: unknown, chain: readonly PlacedLayer[]): boolean {
	if (error instanceof LayersVanished) return true;
	if (!isLamellaError(error, "ENOTFOUND")) return false;
	return error.layer === undefined || chain.some(({ layer }) => layer === error.layer);
}

/** The bytes that are kept have to be those that were checked: a layout directory may change meanwhile. */
async function putDocuments(store: LayerStore, image: PlannedImage, from: string): Promise<void> {
	for (const [what, read, promised] of [
		["config", image.readConfig, image.id],
		["manifest", image.readManifest, image.manifestDigest],
	] as const) {
		if (read === undefined || promised === undefined) continue;
		const bytes = read();
		verifyDigest(bytes, promised, what, from);
		await store.documents.put(bytes);
	}
}

async function importOnce(
	store: LayerStore,
	image: PlannedImage,
	{ chain, first }: FoundLayers,
	names: readonly ImageName[],
	options: ImportPlannedOptions,
): Promise<MadeImage> {
	const report = reporter(image, names[0] ?? image.id, options);
	const skipped = chain.slice(0, first).map(({ layer }) => store.get(layer));
	const sizes: (number | undefined)[] = knownSizes(store, skipped);
	for (const i of chain.keys()) report(i, i < first ? "exists" : "waiting", 0);

	await repairDamaged(store, image, chain.slice(0, first), { report, signal: options.signal });
	const record = (transaction: StoreTransaction): ImageInfo => {
		if (!chain.every(({ layer }) => transaction.has(layer))) throw new LayersVanished();
		return saveImage(
			transaction,
			{ ...image, layers: chain.map((layer, i) => ({ ...layer, tarSizeBytes: sizes[i] ?? 0 })) },
			names,
		);
	};
	if (first === chain.length) return { ...(await store.transaction(record)), warnings: [] };
	const warnings: (readonly Warning[])[] = [];
	let saved: ImageInfo | undefined;
	try {
		await store.importChain(chain.slice(first).map(chainLayer(image, first)), {
			parent: skipped.at(-1)?.id,
			keepExisting: true,
			mountSoon: true,
			signal: options.signal,
			onProgress: (index, doneBytes) => report(first + index, "applying", doneBytes),
			onApplied: (index, applied) => {
				sizes[first + index] = applied.tarSizeBytes;
				warnings[index] = applied.warnings;
				report(first + index, "done", image.layers[first + index]?.source.sizeBytes ?? 0);
			},
			also: (transaction) => {
				saved = record(transaction);
			},
		});
	} catch (error) {
		throw haveVanished(store, skipped) && !isLamellaError(error, "EABORTED") ? new LayersVanished() : error;
	}
	if (saved === undefined) throw new Error("the store did not run the import's transaction");
	return { ...saved, warnings: joinWarnings(warnings) };
}

interface Repairing {
	readonly report: ReturnType<typeof reporter>;
	readonly signal: AbortSignal | undefined;
}

/** Takes those of the layers that are there once more, bottom first, whose data was lost or changed. */
async function repairDamaged(
	store: LayerStore,
	image: PlannedImage,
	there: readonly PlacedLayer[],
	{ report, signal }: Repairing,
): Promise<void> {
	const damaged = store.damaged(there.map(({ layer }) => layer));
	for (const [i, placed] of there.entries()) {
		if (!damaged.includes(placed.layer)) continue;
		if (placed.layer !== (placed.chainId as string)) throw appliedByHand(placed.layer);
		const onProgress = (doneBytes: number): void => report(i, "applying", doneBytes);
		await store.repair(chainLayer(image, 0)(placed, i), { signal, onProgress });
		report(i, "done", image.layers[i]?.source.sizeBytes ?? 0);
	}
}

/** Its owners may have gone through ID maps, which the archive knows nothing of. */
function appliedByHand(layer: LayerId): LamellaError {
	return new LamellaError(
		"ECORRUPT",
		`layer "${layer}" is damaged, and was applied by hand, perhaps with ID maps, so it is not taken from here; remove it with what stands on it, and import once more`,
		{ layer },
	);
}

interface FoundLayers {
	readonly chain: readonly PlacedLayer[];
	/** The index of the first one that the store has not. */
	readonly first: number;
}

/**
 * The chain with the layers that the store has. A layer is there only when all below it are, though they may have names of
 * their own: who applied a layer by hand gave it one.
 */
function withLayersThatAreThere(store: LayerStore, wanted: readonly PlacedLayer[]): FoundLayers {
	const top = wanted.findLastIndex(({ layer }) => store.has(layer));
	const there = wanted[top];
	if (there === undefined) return { chain: wanted, first: 0 };
	const below = store.chain(there.layer).toReversed();
	const chain = wanted.map((one, i) => ({ ...one, layer: below[i]?.id ?? one.layer }));
	return { chain, first: top + 1 };
}

/**
 * Whether layers were removed meanwhile, and perhaps made again. Whatever went wrong then comes of it: layers are made by
 * looking at those below.
 */
function haveVanished(store: LayerStore, layers: readonly LayerInfo[]): boolean {
	return layers.some(({ id, directory }) => !store.has(id) || store.get(id).directory !== directory);
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
	{ operation, onProgress }: ImportPlannedOptions,
): (index: number, phase: ProgressEvent["phase"], doneBytes: number) => void {
	return (index, phase, doneBytes) => {
		const layer = image.layers[index];
		const totalBytes = layer?.source.sizeBytes;
		const isComing =
			phase === "applying" && layer?.source.from === "fetch" && doneBytes < layer.source.sizeBytes;
		onProgress?.({
			operation,
			phase: isComing ? "downloading" : phase,
			image: name,
			layer: layer?.diffId,
			index,
			count: image.layers.length,
			doneBytes,
			totalBytes,
		});
	};
}

/** What the store's message, which knows of one layer only, does not say. */
function wayOut(code: ErrorCode, store: LayerStore): string {
	if (code === "ETAR") return "; the image is damaged, or was badly made: fetch it again";
	if (code === "ENOSPACE") return ` (the store is in ${store.status().root}; df, and df -i for inodes, tell)`;
	return "";
}

/** The store's error, saying which layer of which archive it is about. */
function withArchive(
	store: LayerStore,
	error: unknown,
	image: PlannedImage,
	chain: readonly PlacedLayer[],
	{ operation, from }: ImportPlannedOptions,
): unknown {
	if (!isLamellaError(error) || error.code === "EABORTED") return error;
	const { code, message, layer, path } = error;
	const index = chain.findIndex((placed) => placed.layer === layer);
	const member = image.layers[index]?.member;
	const which = member === undefined ? "" : `layer ${index + 1} of ${chain.length} (${member}): `;
	return new LamellaError(code, `cannot ${operation} ${from}: ${which}${message}${wayOut(code, store)}`, {
		layer,
		path,
		cause: error,
	});
}

/** Sizes of layers that are here: as an image's record has them, or else their disk use. */
function knownSizes(store: LayerStore, layers: readonly LayerInfo[]): number[] {
	const known = new Map<LayerId, number>();
	if (layers.length > 0) {
		const described = listImages(store).flatMap((image) => image.layers);
		for (const { layer, tarSizeBytes } of described) known.set(layer, tarSizeBytes);
	}
	return layers.map(({ id, usage }) => known.get(id) ?? usage?.sizeBytes ?? 0);
}
