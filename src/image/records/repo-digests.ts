/** The digests that registries have an image under: kept with its record, so that it is known when it is met again. */
import type { Digest } from "../../layer/index.ts";
import type { ImageInfo, RepoDigest } from "../contract.ts";

const MAX_REPO_DIGESTS = 32;

/** All of both, each once, the newest ones where they are many: an index that is pushed every night is a new one each time. */
export function joinRepoDigests(
	known: readonly RepoDigest[] = [],
	more: readonly RepoDigest[] = [],
): readonly RepoDigest[] | undefined {
	const byText = new Map<string, RepoDigest>();
	for (const { repository, digest, platform } of [...known, ...more]) {
		const one = platform === undefined ? { repository, digest } : { repository, digest, platform };
		const text = [repository, digest, platform].join(" ");
		byText.delete(text);
		byText.set(text, one);
	}
	return byText.size === 0 ? undefined : [...byText.values()].slice(-MAX_REPO_DIGESTS);
}

/** What an image was last known as in a repository; where it never was there, its manifest's digest. */
export function registryDigest(image: ImageInfo, repository: string | undefined): Digest | undefined {
	const own = image.repoDigests?.findLast((one) => one.repository === repository);
	return own?.digest ?? image.manifestDigest;
}

/** By the digest of its manifest, or of an index that it was chosen from: of several platforms, the one that came last. */
export function byRegistryDigest(images: readonly ImageInfo[], digest: Digest): ImageInfo | undefined {
	return (
		images.find(({ manifestDigest }) => manifestDigest === digest) ??
		images
			.filter(({ repoDigests = [] }) => repoDigests.some((one) => one.digest === digest))
			.toSorted((a, b) => b.importedAtMs - a.importedAtMs)[0]
	);
}
