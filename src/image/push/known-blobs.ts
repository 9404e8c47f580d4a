/**
 * As which blobs a layer is known to registries: what the manifests of images here say that have the layer. Where a registry has
 * such a blob it need not be made, and where it has it in another repository it is taken over from there.
 */
import type { Compression, DiffId, Digest } from "../../layer/index.ts";
import { parseReference } from "../../registry/reference/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { ImageInfo } from "../contract.ts";
import { type ManifestDocument, parseManifest } from "../documents/parse.ts";
import { LAYER_COMPRESSIONS } from "../documents/write.ts";
import { listImages } from "../records/catalog.ts";
import { manifestsOf } from "../records/documents.ts";

export interface KnownBlob {
	readonly digest: Digest;
	readonly sizeBytes: number;
	readonly compression: Compression;
	/** Repositories that may have it, by their registry. */
	readonly repositories: readonly { readonly registry: string; readonly repository: string }[];
}

/** A manifest that an image came with or was pushed as. */
export interface KnownManifest {
	readonly bytes: Buffer;
	readonly document: ManifestDocument;
}

/** The manifests of an image that are here: the one that it came with first. */
export function knownManifests(store: LayerStore, image: ImageInfo): readonly KnownManifest[] {
	return manifestsOf(store, image)
		.map((bytes) => ({ bytes, document: parseManifest(bytes, `a manifest of ${image.id}`) }))
		.filter(({ document }) => document.layers.length === image.layers.length);
}

/** The blobs of the image's layers, those of its own manifests first. @throws {LamellaError} `ECORRUPT` */
export function knownBlobs(store: LayerStore, image: ImageInfo): ReadonlyMap<DiffId, readonly KnownBlob[]> {
	const wanted = new Set(image.layers.map(({ diffId }) => diffId));
	const found = new Map<DiffId, Map<Digest, KnownBlob>>();
	const others = listImages(store).filter(({ id }) => id !== image.id);
	for (const other of [image, ...others]) {
		if (!other.layers.some(({ diffId }) => wanted.has(diffId))) continue;
		const repositories = repositoriesOf(other);
		for (const { document } of knownManifests(store, other)) {
			for (const [i, { diffId }] of other.layers.entries()) {
				const { digest, size, mediaType = "" } = document.layers[i] ?? {};
				const compression = LAYER_COMPRESSIONS.get(mediaType);
				if (!wanted.has(diffId) || digest === undefined || size === undefined || compression === undefined)
					continue;
				const blobs = found.get(diffId) ?? new Map<Digest, KnownBlob>();
				found.set(diffId, blobs);
				const before = blobs.get(digest)?.repositories ?? [];
				blobs.set(digest, {
					...{ digest, sizeBytes: size, compression },
					repositories: [...before, ...repositories],
				});
			}
		}
	}
	return new Map(Array.from(found, ([diffId, blobs]) => [diffId, [...blobs.values()]]));
}

/** Where an image was pulled from or pushed to, newest first. */
function repositoriesOf({ repoDigests = [] }: ImageInfo): KnownBlob["repositories"] {
	return repoDigests.map(({ repository }) => parseReference(repository)).toReversed();
}
