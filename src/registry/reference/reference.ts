/**
 * References to images, as people write them: `debian`, `debian:12`, `localhost:5000/a/b:tag`, `ghcr.io/a/b@sha256:…`. The one
 * parser of names; which images a store has is src/image's affair, where a registry is reached that of hosts/.
 *
 * Grammar and rules: distribution's "reference" package. The first part is a registry where it has a dot or a port, is
 * `localhost`, or is not in lower case; else the registry is docker.io, whose names of one part lie in `library/`.
 */
import { LamellaError } from "../../errors/index.ts";

const HOST = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)";
const DOMAIN = `(?:(?:${HOST}(?:\\.${HOST})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?)`;
const COMPONENT = "(?:[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*)";
const REPOSITORY = new RegExp(`^(?:${DOMAIN}/)?${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const MAX_REPOSITORY_LENGTH = 255;
/** Distribution's "canonical" form: a name, perhaps with a tag, and the digest of its manifest. */
const PINNED = /^(.+)@(sha256:[0-9a-f]{64})$/;
const HEX64 = /^[0-9a-f]{64}$/;

const DEFAULT_REGISTRY = "docker.io";
const DEFAULT_GROUP = "library";
const DEFAULT_TAG = "latest";

/** What a text is made of; the repository is as people write it (`debian`, not `docker.io/library/debian`). */
export interface NameParts {
	readonly repository: string;
	/** Absent where the text has none. */
	readonly tag?: string | undefined;
	readonly digest?: string | undefined;
}

/** Where an image is: a registry, a repository in it, and a tag, a digest or both (the digest then counts). */
export interface RegistryReference {
	/** `docker.io`, `ghcr.io`, `localhost:5000`. */
	readonly registry: string;
	/** Within the registry: `library/debian`. */
	readonly repository: string;
	readonly tag?: string | undefined;
	readonly digest?: string | undefined;
}

/** Takes a reference apart, or returns undefined where it is not one. */
export function splitReference(text: string): NameParts | undefined {
	if (text.length > MAX_REPOSITORY_LENGTH + 129 + 72) return undefined;
	const [, named = text, digest] = PINNED.exec(text) ?? [];
	const slash = named.lastIndexOf("/");
	const colon = named.lastIndexOf(":");
	const [repository, tag] =
		colon > slash ? [named.slice(0, colon), named.slice(colon + 1)] : [named, undefined];
	if (repository.length > MAX_REPOSITORY_LENGTH || !REPOSITORY.test(repository)) return undefined;
	if (tag !== undefined && !TAG.test(tag)) return undefined;
	const familiar = withoutDefaultRegistry(repository);
	// Such a name could never be told from an id.
	return HEX64.test(familiar) ? undefined : { repository: familiar, tag, digest };
}

/** skopeo and containerd write docker's default registry out; people, and docker itself, do not. Both mean the same. */
function withoutDefaultRegistry(repository: string): string {
	const [registry, first = "", ...rest] = repository.split("/");
	if (registry !== DEFAULT_REGISTRY && registry !== `index.${DEFAULT_REGISTRY}`) return repository;
	if (first === DEFAULT_GROUP && rest.length === 1) return rest.join("/");
	// What follows must not be taken for a registry in its turn.
	if (rest.length > 0 && isRegistry(first)) return repository;
	return [first, ...rest].join("/");
}

/** Whether the first part of a name of several parts is a registry. */
function isRegistry(part: string): boolean {
	return /[.:]/.test(part) || part === "localhost" || part !== part.toLowerCase();
}

/**
 * Where the image that a person means lies. Without tag and digest, `latest` is meant.
 * @throws {LamellaError} `EINVALID`
 */
export function parseReference(text: string): RegistryReference {
	const { repository, tag, digest } = splitOrRefuse(text);
	return { ...locate(repository), tag: tag ?? (digest === undefined ? DEFAULT_TAG : undefined), digest };
}

/** A repository alone. @throws {LamellaError} `EINVALID` */
export function parseRepository(text: string): Pick<RegistryReference, "registry" | "repository"> {
	const { repository, tag, digest } = splitOrRefuse(text);
	if (tag === undefined && digest === undefined) return locate(repository);
	throw new LamellaError(
		"EINVALID",
		`${JSON.stringify(text)} names one image; leave all behind ${repository} out`,
	);
}

function splitOrRefuse(text: string): NameParts {
	const parts = splitReference(text);
	if (parts !== undefined) return parts;
	throw new LamellaError(
		"EINVALID",
		`${JSON.stringify(text)} is not an image reference; references look like debian, debian:12, ` +
			"localhost:5000/group/app:tag or ghcr.io/group/app@sha256:…, in lower case but for the host and the tag",
	);
}

function locate(name: string): Pick<RegistryReference, "registry" | "repository"> {
	const [first = "", ...rest] = name.split("/");
	if (rest.length > 0 && isRegistry(first)) {
		const registry = first === `index.${DEFAULT_REGISTRY}` ? DEFAULT_REGISTRY : first;
		return { registry, repository: rest.join("/") };
	}
	return { registry: DEFAULT_REGISTRY, repository: rest.length === 0 ? `${DEFAULT_GROUP}/${first}` : name };
}

/** A repository as people write it: `debian`, `group/app`, `ghcr.io/group/app`. */
export function familiarRepository({
	registry,
	repository,
}: Pick<RegistryReference, "registry" | "repository">): string {
	return withoutDefaultRegistry(`${registry}/${repository}`);
}

/** A reference as people write it, with all that it has: `debian:12@sha256:…`. */
export function formatReference(reference: RegistryReference): string {
	const { tag, digest } = reference;
	const tagged = tag === undefined ? "" : `:${tag}`;
	return `${familiarRepository(reference)}${tagged}${digest === undefined ? "" : `@${digest}`}`;
}
