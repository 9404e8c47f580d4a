/** The documents of images, byte for byte: files of the store by digest, which an image's record keeps alive. */
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { ImageInfo } from "../contract.ts";

/** What the record of an image names. */
export function documentsOf(image: Manifested): readonly Digest[] {
	return [image.id, ...manifestDigestsOf(image)];
}

type Manifested = Pick<ImageInfo, "id" | "manifestDigest" | "pushedManifests">;

function manifestDigestsOf({ manifestDigest, pushedManifests = [] }: Manifested): readonly Digest[] {
	return manifestDigest === undefined ? pushedManifests : [manifestDigest, ...pushedManifests];
}

/** The config of an image. @throws {LamellaError} `ECORRUPT` where it is missing or damaged */
export function configOf(store: LayerStore, { id }: Pick<ImageInfo, "id">): Buffer {
	return documentOf(store, id, id);
}

/** The manifest that an image came with. @throws {LamellaError} `ECORRUPT` where it is missing or damaged */
export function manifestOf(store: LayerStore, { id, manifestDigest }: ImageInfo): Buffer | undefined {
	return manifestDigest === undefined ? undefined : documentOf(store, manifestDigest, id);
}

/** That manifest, and those that it was pushed as. @throws {LamellaError} `ECORRUPT` */
export function manifestsOf(store: LayerStore, image: ImageInfo): readonly Buffer[] {
	return manifestDigestsOf(image).map((digest) => documentOf(store, digest, image.id));
}

function documentOf(store: LayerStore, digest: Digest, id: Digest): Buffer {
	try {
		return store.documents.get(digest);
	} catch (cause) {
		if (!isLamellaError(cause, "ENOTFOUND") && !isLamellaError(cause, "ECORRUPT")) throw cause;
		const way = "import the image again, or remove it by its id";
		throw new LamellaError("ECORRUPT", `image ${id} is damaged: ${cause.message}; ${way}`, {
			layer: id,
			cause,
		});
	}
}
