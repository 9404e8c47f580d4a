/**
 * Makes an image of an active layer: its changes become a committed layer over the same parent, and the config of the
 * image below gets one more diffID. The active layer is only read; it may be mounted and goes on as it was.
 */
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import { type ChainId, chainId, type DiffId, digestOf } from "../../layer/index.ts";
import type { LayerId, LayerInfo, LayerStore } from "../../store/index.ts";
import type { CommitOptions, ImageId, ImageLayer, ImageName, ProgressEvent } from "../contract.ts";
import { emptyConfig, extendConfig } from "../documents/edit-config.ts";
import { createdAtMs, parseConfig } from "../documents/parse.ts";
import { writeLayerBlob } from "../export/layer-blob.ts";
import { asArchiveError } from "../failure.ts";
import { type ImageRecord, imageRecords, listImages, saveImage } from "../records/catalog.ts";

/** Says which image a layer was created from, where several images end at the same layer. */
export const BASE_IMAGE_LABEL = "lamella.image";

export interface CommitContext {
	readonly store: LayerStore;
	/** An empty directory of the store's own; removed by the caller. */
	readonly scratch: string;
}

/** @throws {LamellaError} `EKIND`, `EINVALID`, `ENOTFOUND`, `EABORTED`, `ENOSPACE` */
export async function commitLayer(
	context: CommitContext,
	id: LayerId,
	name: ImageName | undefined,
	options: CommitOptions,
): Promise<ImageRecord> {
	const { store } = context;
	const active = store.get(id);
	if (active.kind !== "active") {
		throw new LamellaError(
			"EKIND",
			`layer "${id}" is ${active.kind === "view" ? "a read-only view" : "committed already"}; only a writable layer can become an image`,
			{ layer: id },
		);
	}
	const base = await baseOf(context, active, options);
	// A wrong instruction has to be told before the work is done.
	extendConfig(base.config, [], options.changes);
	const report = (phase: ProgressEvent["phase"], doneBytes: number, totalBytes?: number): void =>
		options.onProgress?.({
			operation: "commit",
			phase,
			image: name,
			layer: id,
			index: 0,
			count: 1,
			doneBytes,
			totalBytes,
		});
	report("writing", 0);
	const blob = await writeLayerBlob(store, id, "none", path.join(context.scratch, "diff.tar"), {
		signal: options.signal,
		onProgress: (doneBytes) => report("writing", doneBytes),
	}).catch((error: unknown) => {
		throw asArchiveError(error, `commit layer "${id}"`);
	});
	const chain = chainId(base.layers.at(-1)?.chainId, blob.diffId);
	const layer = chain as string as LayerId;
	const timeMs = options.createdAtMs ?? Date.now();
	const config = extendConfig(
		base.config,
		[
			...base.missing,
			{
				diffId: blob.diffId,
				createdAtMs: timeMs,
				author: options.author,
				comment: options.message,
				createdBy: `lamella commit ${id}`,
			},
		],
		options.changes,
	);
	const document = parseConfig(config, "the new config");
	const layers: ImageLayer[] = [
		...base.layers,
		{ diffId: blob.diffId, chainId: chain, layer, tarSizeBytes: blob.tarSizeBytes },
	];
	const saved: { record?: ImageRecord } = {};
	await store.importChain(
		[
			{
				id: layer,
				source: { from: "range", path: blob.path, offset: 0, sizeBytes: blob.sizeBytes, compression: "none" },
				expectedDiffId: blob.diffId,
			},
		],
		{
			parent: active.parent,
			keepExisting: true,
			signal: options.signal,
			onProgress: (_index, doneBytes) => report("applying", doneBytes, blob.sizeBytes),
			also: (transaction) => {
				saved.record = saveImage(
					transaction,
					{
						id: digestOf<ImageId>(config),
						createdAtMs: createdAtMs(document.created),
						os: document.os,
						architecture: document.architecture,
						layers,
						config: config.toString(),
					},
					name === undefined ? [] : [name],
				);
			},
		},
	);
	if (saved.record === undefined) throw new Error("the store did not run the commit's transaction");
	report("done", blob.sizeBytes, blob.sizeBytes);
	return saved.record;
}

interface Base {
	readonly config: Buffer;
	/** All layers below the active one, bottom first. */
	readonly layers: readonly ImageLayer[];
	/** Those of them that the config does not have. */
	readonly missing: readonly { diffId: DiffId; createdAtMs: number; createdBy: string }[];
}

/** The config to go on from: that of the image the layer was made from, or of the nearest image below it. */
async function baseOf(context: CommitContext, active: LayerInfo, options: CommitOptions): Promise<Base> {
	const { store } = context;
	const below = [...store.chain(active.id)].reverse();
	const images = listImages(imageRecords(store));
	const preferred = active.labels[BASE_IMAGE_LABEL];
	for (let count = below.length; count > 0; count--) {
		const top = below[count - 1]?.id;
		const ending = images.filter(({ layers }) => layers.length === count && layers.at(-1)?.layer === top);
		const image = ending.find((candidate) => candidate.id === preferred) ?? ending[0];
		if (image === undefined) continue;
		const rest = await describeLayers(context, below.slice(count), image.layers.at(-1)?.chainId, options);
		return {
			config: Buffer.from(image.config),
			layers: [...image.layers, ...rest],
			missing: rest.map(missingLayer),
		};
	}
	const rest = await describeLayers(context, below, undefined, options);
	return { config: emptyConfig(), layers: rest, missing: rest.map(missingLayer) };
}

interface DescribedLayer extends ImageLayer {
	readonly createdAtMs: number;
}

function missingLayer({ diffId, createdAtMs, layer }: DescribedLayer): Base["missing"][number] {
	return { diffId, createdAtMs, createdBy: `lamella layer ${layer}` };
}

/** Layers that no image has: what is not known of their tars is found out by making them. */
async function describeLayers(
	context: CommitContext,
	layers: readonly LayerInfo[],
	parent: ChainId | undefined,
	options: CommitOptions,
): Promise<readonly DescribedLayer[]> {
	const described: DescribedLayer[] = [];
	let chain = parent;
	for (const [i, { id, createdAtMs, diffId: known }] of layers.entries()) {
		const blob = await writeLayerBlob(context.store, id, "none", path.join(context.scratch, `below-${i}`), {
			signal: options.signal,
		});
		const diffId = known ?? blob.diffId;
		if (known === undefined) await context.store.setDiffId(id, diffId);
		chain = chainId(chain, diffId);
		described.push({ diffId, chainId: chain, layer: id, tarSizeBytes: blob.tarSizeBytes, createdAtMs });
	}
	return described;
}
