/**
 * What people may write for an image that is here: `debian`, `debian:12`, `registry:5000/a/b:tag`, an id, a digest.
 * Pure text; which images exist is catalog.ts's affair, and the grammar of names that of src/registry/reference.
 *
 * What has no tag means `latest`. No registry host is added: `debian` stays `debian`, and docker's default host is taken off
 * where it is written out.
 */
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import { splitReference } from "../../registry/reference/index.ts";
import type { ImageName } from "../contract.ts";

const HEX64 = /^[0-9a-f]{64}$/;

/** A name's two parts. */
interface TaggedName {
	readonly repository: string;
	readonly tag: string;
}

/** Takes a name without a digest apart, or returns undefined where it is not a name. `latest` is filled in. */
export function splitName(text: string): TaggedName | undefined {
	const parts = splitReference(text);
	if (parts === undefined || parts.digest !== undefined) return undefined;
	return { repository: parts.repository, tag: parts.tag ?? "latest" };
}

/**
 * A name for an image, normalised: `debian` becomes `debian:latest`.
 * @throws {LamellaError} `EINVALID`
 */
export function parseImageName(text: string): ImageName {
	const parts = splitName(text);
	if (parts === undefined) {
		throw new LamellaError(
			"EINVALID",
			`${JSON.stringify(text)} cannot name an image: names are like debian, debian:12 or host:5000/group/app:tag, ` +
				"in lower case but for the host and the tag",
		);
	}
	return `${parts.repository}:${parts.tag}` as ImageName;
}

/** What a person may mean by a text: in the order in which they are tried. */
export interface ImageReference {
	/** A whole digest: `sha256:` and 64 digits, the 64 digits alone, or what stands behind a name's `@`. */
	readonly digest?: Digest | undefined;
	readonly name?: ImageName | undefined;
	/** The beginning of an id, without `sha256:`. */
	readonly idPrefix?: string | undefined;
}

/**
 * What a text can refer to; empty where it can refer to nothing.
 * A name of hex digits and the beginning of an id look alike: both are then set, and the name comes first.
 */
export function parseImageReference(text: string): ImageReference {
	// What it is pinned to says more than its name.
	const pinned = splitReference(text)?.digest;
	if (pinned !== undefined) return { digest: pinned as Digest };
	if (text.includes("@")) return {};
	const hex = text.startsWith("sha256:") ? text.slice("sha256:".length) : text;
	const prefixed = hex !== text;
	if (HEX64.test(hex)) return { digest: `sha256:${hex}` as Digest };
	const isPrefix = /^[0-9a-f]{1,63}$/.test(hex);
	const parts = splitName(text);
	return {
		name: parts === undefined ? undefined : (`${parts.repository}:${parts.tag}` as ImageName),
		// One or two digits after nothing are more likely a slip than an id.
		idPrefix: isPrefix && (prefixed || hex.length >= 3) ? hex : undefined,
	};
}

/**
 * The name that an archive gives an image, from OCI annotations or docker's RepoTags.
 * A bare tag (what umoci writes) gets `repository`, the archive's own name. Of a name with tag and digest the tag
 * counts; a name with a digest alone has no tag: it was never `latest`.
 */
export function nameFromAnnotation(
	annotation: string,
	repository: string | undefined,
): ImageName | undefined {
	const text = withoutDigest(annotation);
	if (!/[:/]/.test(text) && repository !== undefined) {
		const parts = splitName(`${repository}:${text}`);
		if (parts !== undefined) return `${parts.repository}:${parts.tag}` as ImageName;
	}
	const parts = splitName(text);
	return parts === undefined ? undefined : (`${parts.repository}:${parts.tag}` as ImageName);
}

/** `a:1@sha256:…` without its digest; empty where no tag is left. */
function withoutDigest(text: string): string {
	const parts = splitReference(text);
	if (parts?.digest === undefined) return text;
	return parts.tag === undefined ? "" : `${parts.repository}:${parts.tag}`;
}

/** A repository name made of a file's name: `/a/Debian 12.tar.gz` gives `debian-12`. */
export function repositoryFromPath(path: string): string | undefined {
	const base = path.replace(/\/+$/, "").split("/").at(-1) ?? "";
	const name = base
		.toLowerCase()
		.replace(/\.(tar|tgz|oci|tar\.(gz|zst|zstd))$/, "")
		.replace(/[^a-z0-9._-]+/g, "-")
		.replace(/[._-]{2,}/g, "-")
		.replace(/^[._-]+|[._-]+$/g, "");
	return splitName(name) === undefined ? undefined : name;
}
