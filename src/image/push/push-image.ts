/**
 * Pushes an image: its layers side by side, its config, and last the manifest, which makes it visible. The manifest is one that the
 * image came with or was pushed as before, where all blobs are those; else a new one, with a digest of its own.
 */
import { type Compression, digestOf, joinWarnings } from "../../layer/index.ts";
import type { RegistryClient, RepositoryWriter } from "../../registry/index.ts";
import {
	familiarRepository,
	formatReference,
	type RegistryReference,
} from "../../registry/reference/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { ImageId, ImageInfo, ImageLayer, ProgressEvent, PushOptions, PushResult } from "../contract.ts";
import { replaceDiffIds } from "../documents/edit-config.ts";
import { documentBlob, LAYER_COMPRESSIONS, MANIFEST_TYPE, manifestBlob } from "../documents/write.ts";
import { configOf } from "../records/documents.ts";
import { savePushed } from "../records/pushed.ts";
import { sideBySide } from "../side-by-side.ts";
import { type KnownManifest, knownBlobs, knownManifests } from "./known-blobs.ts";
import { type PushedLayer, pushLayer } from "./push-layer.ts";

/** Layers that are asked for, made and sent at one time. */
const PARALLEL_LAYERS = 4;

/** @throws {RegistryError}; `ENOSPACE`, `EABORTED`, what a diff throws */
export async function pushImage(
	store: LayerStore,
	image: ImageInfo,
	target: RegistryReference & { readonly tag: string },
	client: RegistryClient,
	options: PushOptions,
): Promise<PushResult> {
	const { signal } = options;
	const writer = await client.writer(target, { signal });
	const manifests = knownManifests(store, image);
	const layers = await pushLayers(store, image, target, writer, manifests, options);
	const original = configOf(store, image);
	const isExact = layers.every(({ diffId }, i) => diffId === image.layers[i]?.diffId);
	const config = documentBlob(
		isExact
			? original
			: replaceDiffIds(
					original,
					layers.map(({ diffId }) => diffId),
				),
	);
	const known = isExact ? manifests.find((manifest) => isOf(manifest, layers)) : undefined;
	const manifest = known ?? { bytes: manifestBlob(config, layers).bytes, document: undefined };
	await pushConfig(writer, config, signal);
	const mediaType = manifest.document?.mediaType ?? MANIFEST_TYPE;
	await writer.putManifest(target.tag, manifest.bytes, mediaType, { signal });
	const manifestDigest = digestOf(manifest.bytes);
	if (isExact) await savePushed(store, image.id, familiarRepository(target), manifest.bytes);
	const sent = layers.filter(({ way }) => way === "uploaded");
	return {
		image: image.id,
		pushedAs: config.digest as ImageId,
		reference: formatReference(target),
		manifestDigest,
		replacedDigest: image.manifestDigest === manifestDigest ? undefined : image.manifestDigest,
		layers: layers.map(({ diffId, digest, sizeBytes, way }) => ({ diffId, digest, sizeBytes, way })),
		sizeBytes: new Map(sent.map(({ digest, sizeBytes }) => [digest, sizeBytes]))
			.values()
			.reduce((sum, sizeBytes) => sum + sizeBytes, 0),
		warnings: joinWarnings(layers.map(({ warnings }) => warnings)),
	};
}

/** The layers' blobs, bottom first; a layer that is there twice goes once. */
async function pushLayers(
	store: LayerStore,
	image: ImageInfo,
	target: RegistryReference & { readonly tag: string },
	writer: RepositoryWriter,
	manifests: readonly KnownManifest[],
	options: PushOptions,
): Promise<readonly PushedLayer[]> {
	const known = knownBlobs(store, image);
	const distinct = [...new Map(image.layers.map((layer) => [layer.diffId, layer])).values()];
	const reference = formatReference(target);
	const report = (
		layer: ImageLayer,
		phase: ProgressEvent["phase"],
		doneBytes = 0,
		totalBytes = layer.tarSizeBytes,
	): void => {
		const index = image.layers.indexOf(layer);
		const count = image.layers.length;
		const about = { operation: "push", image: reference, layer: layer.diffId } as const;
		options.onProgress?.({ ...about, phase, index, count, doneBytes, totalBytes });
	};
	for (const layer of distinct) report(layer, "waiting");
	await using scratch = await store.scratch();
	const plan = { width: PARALLEL_LAYERS, what: "push", signal: options.signal };
	const pushed = await sideBySide(distinct, plan, async (layer, _, signal) => {
		const compression =
			options.compression ?? compressionOf(manifests, image.layers.indexOf(layer)) ?? "gzip";
		const blobs = known.get(layer.diffId) ?? [];
		const result = await pushLayer(layer, {
			...{ store, writer, target, compression, signal, directory: scratch.path },
			skipUnsupported: options.skipUnsupported,
			known:
				options.compression === undefined ? blobs : blobs.filter((blob) => blob.compression === compression),
			report: (...what) => report(layer, ...what),
		});
		report(layer, result.way === "uploaded" ? "done" : "exists", result.sizeBytes, result.sizeBytes);
		return result;
	});
	const byDiffId = new Map(distinct.map(({ diffId }, i) => [diffId, pushed[i] as PushedLayer]));
	return image.layers.map(({ diffId }) => byDiffId.get(diffId) as PushedLayer);
}

/** What the layer was compressed with when the image came. */
function compressionOf([first]: readonly KnownManifest[], index: number): Compression | undefined {
	return LAYER_COMPRESSIONS.get(first?.document.layers[index]?.mediaType ?? "");
}

function isOf({ document }: KnownManifest, layers: readonly PushedLayer[]): boolean {
	return layers.every(({ digest }, i) => digest === document.layers[i]?.digest);
}

async function pushConfig(
	writer: RepositoryWriter,
	{ digest, bytes }: { readonly digest: string; readonly bytes: Buffer },
	signal: AbortSignal | undefined,
): Promise<void> {
	if (await writer.hasBlob(digest, { signal })) return;
	const open = async function* (start: number, end: number): AsyncGenerator<Uint8Array> {
		yield bytes.subarray(start, end);
	};
	await writer.uploadBlob({ digest, sizeBytes: bytes.length, open }, { signal });
}
