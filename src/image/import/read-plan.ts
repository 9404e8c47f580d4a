/** Which of the archive formats a content has, and the images in it. */
import { LamellaError } from "../../errors/index.ts";
import type { ImageContent } from "../archive/content.ts";
import { parseImageReference } from "../records/reference.ts";
import { DOCKER_MANIFEST, planDockerArchive } from "./docker-archive.ts";
import { LEGACY_REPOSITORIES, planLegacyArchive } from "./legacy-archive.ts";
import { OCI_INDEX, planOci, planOciDigest } from "./oci-layout.ts";
import type { PlannedImage } from "./plan.ts";

export interface ReadPlanOptions {
	/** Only the image of this name, image id or manifest digest; by digest also one for another platform. */
	readonly select?: string | undefined;
	readonly signal?: AbortSignal | undefined;
}

/**
 * The images, all or those selected. Archives of docker 25 and later have both `manifest.json` and `index.json`; the
 * first is read: it has the names as people know them, and lists just what was saved.
 * @throws {LamellaError} `EARCHIVE`, `EDIGEST`, `ECOMPRESSION`, `ENOTFOUND` (none is selected)
 */
export async function readPlan(
	content: ImageContent,
	{ select, signal }: ReadPlanOptions = {},
): Promise<readonly PlannedImage[]> {
	const from = content.description;
	const { name, digest } = select === undefined ? {} : parseImageReference(select);
	const has = (member: string): boolean => content.find(member) !== undefined;
	const exact = digest !== undefined && has(OCI_INDEX) ? planOciDigest(content, digest) : undefined;
	if (exact !== undefined) return [exact];
	let images: readonly PlannedImage[];
	if (has(DOCKER_MANIFEST)) images = planDockerArchive(content);
	else if (has(OCI_INDEX)) images = planOci(content);
	else if (has(LEGACY_REPOSITORIES)) images = await planLegacyArchive(content, signal);
	else {
		throw new LamellaError(
			"EARCHIVE",
			`${from} is not an image: it has neither ${DOCKER_MANIFEST} (docker save) nor ${OCI_INDEX} (OCI layout); ` +
				"for the tar of one layer use `lamella apply`",
		);
	}
	if (images.length === 0) throw new LamellaError("EARCHIVE", `${from} has no container image in it`);
	if (select === undefined) return images;
	const found = images.filter(
		({ names, id }) => (name !== undefined && names.includes(name)) || id === digest,
	);
	if (found.length > 0) return found;
	throw new LamellaError("ENOTFOUND", `${from} has no image ${select}; it has ${namesOf(images)}`);
}

/** For people: names, or ids of those that have none. */
export function namesOf(images: readonly PlannedImage[]): string {
	return images.flatMap(({ names, id }): readonly string[] => (names.length > 0 ? names : [id])).join(", ");
}
