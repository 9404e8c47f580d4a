/** What a push sends: which images, and where each of them goes. */
import { LamellaError } from "../../errors/index.ts";
import { formatReference, parseReference, type RegistryReference } from "../../registry/reference/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { ImageInfo, ImageName, PushOptions } from "../contract.ts";
import { findImage, listImages, noSuchImage } from "../records/catalog.ts";
import { parseImageName, parseImageReference, splitName } from "../records/reference.ts";

export interface Push {
	readonly image: ImageInfo;
	readonly to: RegistryReference & { readonly tag: string };
}

/** One or more, to one repository. @throws {LamellaError} `ENOTFOUND`, `EINVALID` */
export function pushesOf(
	store: LayerStore,
	reference: string,
	{ to, allTags = false }: Pick<PushOptions, "to" | "allTags">,
): readonly [Push, ...Push[]] {
	if (allTags) return allOf(store, reference, to);
	const image = findImage(store, reference);
	if (image === undefined) throw noSuchImage(reference);
	const { name } = parseImageReference(reference);
	const target = to ?? (name !== undefined && image.names.includes(name) ? name : undefined);
	if (target === undefined) {
		throw new LamellaError(
			"EINVALID",
			`${reference} does not name a registry to push to; name it as the second argument, like ghcr.io/group/app:tag`,
		);
	}
	return [{ image, to: targetOf(target) }];
}

function allOf(store: LayerStore, repository: string, to: string | undefined): readonly [Push, ...Push[]] {
	if (to !== undefined) {
		throw new LamellaError(
			"EINVALID",
			"all tags of a repository go to where it says; tag them to send them elsewhere",
		);
	}
	const latest = parseImageName(repository);
	const wanted = splitName(latest)?.repository;
	if (latest !== `${wanted}:latest` || repository.endsWith(":latest")) {
		throw new LamellaError(
			"EINVALID",
			`with all tags, a repository without a tag is pushed, not ${repository}`,
		);
	}
	const named = (name: ImageName): boolean => splitName(name)?.repository === wanted;
	const [first, ...others] = listImages(store).flatMap((image) =>
		image.names.filter(named).map((name) => ({ image, to: targetOf(name) })),
	);
	if (first !== undefined) return [first, ...others];
	throw new LamellaError(
		"ENOTFOUND",
		`no image here has a tag of ${repository}; \`lamella images\` lists them`,
	);
}

/** @throws {LamellaError} `EINVALID` */
function targetOf(text: string): Push["to"] {
	const reference = parseReference(text);
	const { tag, digest } = reference;
	if (digest === undefined && tag !== undefined) return { ...reference, tag };
	throw new LamellaError(
		"EINVALID",
		`${formatReference(reference)} has a digest, which the pushed manifest decides; give a tag`,
	);
}
