/**
 * The JSON documents of images, and the caps on them: OCI image spec 1.1 (index, manifest, config, layout) and
 * docker's image spec 1.2 (manifest.json, repositories). Bytes in, checked values out; nothing here reads files.
 */
import * as v from "valibot";
import { LamellaError } from "../../errors/index.ts";
import { type DiffId, type Digest, digestOf } from "../../layer/index.ts";
import type { ImageInfo } from "../contract.ts";
import { parseJson } from "./json.ts";

/** No document of an image is larger: registries take manifests of 4 MiB. */
export const MAX_DOCUMENT_BYTES: number = 4 << 20;
/** More layers than any engine stacks; overlayfs itself ends at 500. */
const MAX_LAYERS = 1000;
const MAX_MANIFESTS = 1000;
/** Of what is recorded with an image: a platform's words, and the names that an archive gives one image. */
const MAX_WORD_LENGTH = 64;
const MAX_NAMES = 1000;

const digest = v.pipe(
	v.string(),
	v.regex(/^sha256:[0-9a-f]{64}$/, "is not a sha256 digest"),
	v.transform((text) => text as Digest),
);
const sizeBytes = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const word = v.pipe(v.string(), v.maxLength(MAX_WORD_LENGTH));
const annotations = v.nullish(v.record(v.string(), v.string()));

/** What a document has beyond what is named here is kept: a config is written again with it. */
interface Loose {
	[key: string]: unknown;
}

type Annotations = Record<string, string> | null | undefined;

export interface Platform extends Loose {
	architecture: string;
	os: string;
	variant?: string | undefined;
}

export interface Descriptor extends Loose {
	mediaType: string;
	digest: Digest;
	size: number;
	annotations?: Annotations;
	platform?: Platform | null | undefined;
	artifactType?: string | undefined;
}

export interface IndexDocument extends Loose {
	schemaVersion?: 2 | undefined;
	mediaType?: string | undefined;
	manifests: Descriptor[];
	annotations?: Annotations;
}

export interface ManifestDocument extends Loose {
	schemaVersion: 2;
	mediaType?: string | undefined;
	config: Descriptor;
	layers: Descriptor[];
	annotations?: Annotations;
}

export interface ConfigDocument extends Loose {
	architecture: string;
	os: string;
	created?: string | null | undefined;
	rootfs: Loose & { type?: "layers" | undefined; diff_ids: readonly DiffId[] };
	history?: (Loose & { empty_layer?: boolean | undefined })[] | null | undefined;
	config?: Record<string, unknown> | null | undefined;
}

export type DockerManifestDocument = (Loose & {
	Config: string;
	RepoTags?: string[] | null | undefined;
	Layers: string[];
})[];

export interface LegacyImageDocument extends Loose {
	id?: string | undefined;
	parent?: string | undefined;
	created?: string | null | undefined;
	author?: string | undefined;
	comment?: string | undefined;
	container_config?: (Loose & { Cmd?: string[] | null | undefined }) | null | undefined;
	throwaway?: boolean | undefined;
}

const platform: v.GenericSchema<unknown, Platform> = v.looseObject({
	architecture: v.string(),
	os: v.string(),
	variant: v.optional(v.string()),
});

const descriptor: v.GenericSchema<unknown, Descriptor> = v.looseObject({
	mediaType: v.optional(v.string(), ""),
	digest,
	size: sizeBytes,
	annotations,
	platform: v.nullish(platform),
	artifactType: v.optional(v.string()),
});

const index: v.GenericSchema<unknown, IndexDocument> = v.looseObject({
	schemaVersion: v.optional(v.literal(2)),
	mediaType: v.optional(v.string()),
	manifests: v.pipe(v.array(descriptor), v.maxLength(MAX_MANIFESTS)),
	annotations,
});

const manifest: v.GenericSchema<unknown, ManifestDocument> = v.looseObject({
	schemaVersion: v.literal(2),
	mediaType: v.optional(v.string()),
	config: descriptor,
	layers: v.pipe(v.array(descriptor), v.maxLength(MAX_LAYERS)),
	annotations,
});

const config: v.GenericSchema<unknown, ConfigDocument> = v.looseObject({
	architecture: v.optional(word, ""),
	os: v.optional(word, ""),
	created: v.nullish(v.string()),
	rootfs: v.looseObject({
		type: v.optional(v.literal("layers")),
		diff_ids: v.pipe(
			v.nullish(v.array(digest), []),
			v.maxLength(MAX_LAYERS),
			v.transform((ids) => ids as readonly Digest[] as readonly DiffId[]),
		),
	}),
	history: v.nullish(v.array(v.looseObject({ empty_layer: v.optional(v.boolean()) }))),
	config: v.nullish(v.record(v.string(), v.unknown())),
});

const dockerManifest: v.GenericSchema<unknown, DockerManifestDocument> = v.pipe(
	v.array(
		v.looseObject({
			Config: v.string(),
			RepoTags: v.nullish(v.pipe(v.array(v.string()), v.maxLength(MAX_NAMES))),
			Layers: v.pipe(v.nullish(v.array(v.string()), []), v.maxLength(MAX_LAYERS)),
		}),
	),
	v.maxLength(MAX_MANIFESTS),
);

const repositories = v.record(v.string(), v.record(v.string(), v.string()));

const legacyImage: v.GenericSchema<unknown, LegacyImageDocument> = v.looseObject({
	id: v.optional(v.string()),
	parent: v.optional(v.string()),
	created: v.nullish(v.string()),
	author: v.optional(v.string()),
	comment: v.optional(v.string()),
	container_config: v.nullish(v.looseObject({ Cmd: v.nullish(v.array(v.string())) })),
	throwaway: v.optional(v.boolean()),
});

/** Parses an OCI index or a docker manifest list. `from` names the document in errors. @throws EARCHIVE */
export function parseIndex(bytes: Buffer, from: string): IndexDocument {
	return parse(index, bytes, from);
}

/** Parses an OCI or docker (schema 2) manifest. @throws EARCHIVE */
export function parseManifest(bytes: Buffer, from: string): ManifestDocument {
	return parse(manifest, bytes, from);
}

/** Parses an image config. @throws EARCHIVE */
export function parseConfig(bytes: Buffer, from: string): ConfigDocument {
	return parse(config, bytes, from);
}

/** Parses the manifest.json of a docker-save archive. @throws EARCHIVE */
export function parseDockerManifest(bytes: Buffer, from: string): DockerManifestDocument {
	return parse(dockerManifest, bytes, from);
}

/** Parses the `repositories` of archives from before docker 1.10: repository → tag → layer id. @throws EARCHIVE */
export function parseRepositories(bytes: Buffer, from: string): Record<string, Record<string, string>> {
	return parse(repositories, bytes, from);
}

/** Parses the `<id>/json` of archives from before docker 1.10. @throws EARCHIVE */
export function parseLegacyImage(bytes: Buffer, from: string): LegacyImageDocument {
	return parse(legacyImage, bytes, from);
}

/** What a listing shows of a config. */
export function describeConfig(
	config: ConfigDocument,
): Pick<ImageInfo, "os" | "architecture" | "createdAtMs"> {
	return { os: config.os, architecture: config.architecture, createdAtMs: createdAtMs(config.created) };
}

/** Milliseconds since 1970 of a config's `created`; undefined where there is none that can be read. */
export function createdAtMs(created: string | null | undefined): number | undefined {
	const ms = created == null ? Number.NaN : Date.parse(created);
	return Number.isNaN(ms) ? undefined : ms;
}

/** Checks bytes against the digest that was promised for them. @throws EDIGEST */
export function verifyDigest(bytes: Uint8Array, promised: string, what: string, from: string): void {
	const actual = digestOf(bytes);
	if (actual !== promised) {
		throw new LamellaError(
			"EDIGEST",
			`${what} in ${from} has the digest ${actual}, but ${promised} was expected: it is damaged or was changed; fetch it again`,
		);
	}
}

function parse<T>(schema: v.GenericSchema<unknown, T>, bytes: Buffer, from: string): T {
	const result = v.safeParse(schema, parseJson(bytes, from));
	if (!result.success) {
		const [issue] = result.issues;
		const where = v.getDotPath(issue) ?? "the document";
		throw new LamellaError(
			"EARCHIVE",
			`${from} does not follow the image format (${where}: ${issue.message}); the image is damaged or was badly made`,
		);
	}
	return result.output;
}
