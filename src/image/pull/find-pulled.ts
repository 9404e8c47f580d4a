/** Images that were pulled before: found by the digest that a registry has them under. */
import type { Digest } from "../../layer/index.ts";
import type { LayerReader } from "../../store/index.ts";
import type { ImageInfo } from "../contract.ts";
import { listImages } from "../records/catalog.ts";

/**
 * The image that was pulled under a digest, of a manifest or of an index. From an index the platform counts that the image was
 * chosen for.
 */
export function findPulled(
	reader: Pick<LayerReader, "records">,
	digest: Digest,
	platform: string,
): ImageInfo | undefined {
	return listImages(reader).find(
		({ manifestDigest, repoDigests = [] }) =>
			manifestDigest === digest ||
			repoDigests.some((one) => one.digest === digest && (one.platform ?? platform) === platform),
	);
}
