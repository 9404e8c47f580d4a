/** Remembers as which manifests an image was pushed: the next push needs not make its blobs again to know their digests. */
import type { Digest } from "../../layer/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { ImageId, ImageInfo } from "../contract.ts";
import { imageOf, saveImage } from "./catalog.ts";

/** How many are remembered for each image; an image is pushed to few registries with other blobs than it came with. */
const MAX_MANIFESTS = 8;

export async function savePushed(
	store: LayerStore,
	id: ImageId,
	repository: string,
	manifest: Buffer,
): Promise<void> {
	const digest = await store.documents.put(manifest);
	const saved = await store.transaction((transaction) => {
		const image = imageOf(transaction, id);
		if (image === undefined) return false;
		const pushedManifests = withManifest(image, digest);
		saveImage(transaction, { ...image, pushedManifests, repoDigests: [{ repository, digest }] }, []);
		return true;
	});
	// The image was removed meanwhile; it is pushed all the same.
	if (!saved) await store.documents.discard([digest]);
}

/** The last one last; the one that the image came with is none of them. */
function withManifest(
	{ manifestDigest, pushedManifests = [] }: ImageInfo,
	digest: Digest,
): readonly Digest[] {
	if (digest === manifestDigest) return pushedManifests;
	return [...pushedManifests.filter((one) => one !== digest), digest].slice(-MAX_MANIFESTS);
}
