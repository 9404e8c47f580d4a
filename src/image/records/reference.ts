/**
 * Names of images and what people may write for one: `debian`, `debian:12`, `registry:5000/a/b:tag`, an id.
 * Pure text; which images exist is catalog.ts's affair.
 *
 * Grammar: distribution's "reference" package, without digests after a name. What has no tag means `latest`.
 * No registry host is added: `debian` stays `debian`, and docker's default host is taken off where it is written out.
 */
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import type { ImageName } from "../contract.ts";

const HOST = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)";
const DOMAIN = `(?:(?:${HOST}(?:\\.${HOST})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?)`;
const COMPONENT = "(?:[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*)";
const REPOSITORY = new RegExp(`^(?:${DOMAIN}/)?${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const MAX_REPOSITORY_LENGTH = 255;
/** Distribution's "canonical" form: a name, perhaps with a tag, and the digest of its manifest. */
const PINNED = /^(.+)@(sha256:[0-9a-f]{64})$/;
const HEX64 = /^[0-9a-f]{64}$/;

/** A name's two parts. */
export interface NameParts {
	readonly repository: string;
	readonly tag: string;
}

/** Takes a name apart, or says undefined where it is none. `latest` is filled in. */
export function splitName(text: string): NameParts | undefined {
	if (text.length > MAX_REPOSITORY_LENGTH + 129) return undefined;
	const slash = text.lastIndexOf("/");
	const colon = text.lastIndexOf(":");
	const [repository, tag] = colon > slash ? [text.slice(0, colon), text.slice(colon + 1)] : [text, "latest"];
	if (repository.length > MAX_REPOSITORY_LENGTH || !REPOSITORY.test(repository) || !TAG.test(tag)) {
		return undefined;
	}
	// Such a name could never be told from an id.
	if (HEX64.test(repository)) return undefined;
	return { repository: withoutDefaultHost(repository), tag };
}

/** skopeo and containerd write docker's default host out; people, and docker itself, do not. Both mean the same. */
function withoutDefaultHost(repository: string): string {
	const [host, first = "", ...rest] = repository.split("/");
	if (host !== "docker.io") return repository;
	if (first === "library" && rest.length === 1) return rest.join("/");
	// What follows must not be taken for a host in its turn.
	if (rest.length === 0 || /[.:]|^localhost$/.test(first)) return repository;
	return [first, ...rest].join("/");
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
export interface Reference {
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
export function parseReference(text: string): Reference {
	const [, pinnedName, pinned] = PINNED.exec(text) ?? [];
	// What it is pinned to says more than its name.
	if (pinnedName !== undefined)
		return splitName(pinnedName) === undefined ? {} : { digest: pinned as Digest };
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
 * counts; a name with a digest alone is none: it was never `latest`.
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
	const [, name, digest] = PINNED.exec(text) ?? [];
	if (name === undefined || digest === undefined) return text;
	return name.lastIndexOf(":") > name.lastIndexOf("/") ? name : "";
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
