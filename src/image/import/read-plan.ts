/** Which of the archive formats a content has, and the images in it. */
import { LamellaError } from "../../errors/index.ts";
import type { ImageContent } from "../archive/content.ts";
import { parseReference } from "../records/reference.ts";
import { DOCKER_MANIFEST, planDockerArchive } from "./docker-archive.ts";
import { LEGACY_REPOSITORIES, planLegacyArchive } from "./legacy-archive.ts";
import { OCI_INDEX, planOci } from "./oci-layout.ts";
import type { PlannedImage } from "./plan.ts";

/**
 * All images. Archives of docker 25 and later have both `manifest.json` and `index.json`; the first is read, for it has the
 * names as people know them and lists just what was saved.
 * @throws {LamellaError} `EARCHIVE`, `EDIGEST`, `ECOMPRESSION`
 */
export async function readPlan(
	content: ImageContent,
	signal: AbortSignal | undefined,
): Promise<readonly PlannedImage[]> {
	const from = content.description;
	let images: readonly PlannedImage[] | undefined;
	if (content.find(DOCKER_MANIFEST) !== undefined) images = planDockerArchive(content);
	else if (content.find(OCI_INDEX) !== undefined) images = planOci(content);
	else if (content.find(LEGACY_REPOSITORIES) !== undefined) images = await planLegacyArchive(content, signal);
	if (images === undefined) {
		throw new LamellaError(
			"EARCHIVE",
			`${from} is not an image: it has neither ${DOCKER_MANIFEST} (docker save) nor ${OCI_INDEX} (OCI layout); ` +
				"for the tar of one layer use `lamella apply`",
		);
	}
	if (images.length === 0) throw new LamellaError("EARCHIVE", `${from} has no image in it`);
	return images;
}

/** The images that `select` means: by name, image id or manifest digest. @throws {LamellaError} `ENOTFOUND` */
export function selectImages(
	images: readonly PlannedImage[],
	select: string | undefined,
	from: string,
): readonly PlannedImage[] {
	if (select === undefined) return images;
	const { name, digest } = parseReference(select);
	const found = images.filter(
		(image) =>
			(name !== undefined && image.names.includes(name)) ||
			(digest !== undefined && (image.id === digest || image.manifestDigest === digest)),
	);
	if (found.length === 0) {
		throw new LamellaError("ENOTFOUND", `${from} has no image ${select}; it has ${namesOf(images)}`);
	}
	return found;
}

/** For people: names, or ids of those that have none. */
export function namesOf(images: readonly PlannedImage[]): string {
	return images.flatMap(({ names, id }): readonly string[] => (names.length > 0 ? names : [id])).join(", ");
}
