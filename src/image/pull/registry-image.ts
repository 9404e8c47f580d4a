/** What a registry says of an image, without taking it: the index with its platforms, or the manifest with its layers. */
import type { Digest } from "../../layer/index.ts";
import type { RegistryClient, RegistryManifest } from "../../registry/index.ts";
import { familiarRepository, type RegistryReference } from "../../registry/reference/index.ts";
import { type Descriptor, parseIndex, parseManifest } from "../documents/parse.ts";
import { MAX_INDEX_DEPTH } from "../import/plan-manifest.ts";
import { isImageCandidate, parsePlatform, platformText } from "../import/platform.ts";
import { chooseForPlatform } from "./choose-platform.ts";

export interface RegistryBlob {
	readonly mediaType: string;
	readonly digest: Digest;
	/** As it is kept there: of layers, compressed. */
	readonly sizeBytes: number;
	readonly annotations: Readonly<Record<string, string>>;
}

/** An entry of an index. */
export interface RegistryImageEntry extends RegistryBlob {
	/** `linux/arm64`; absent where the index does not say. */
	readonly platform?: string | undefined;
	/** It is an image; attestations and the like stand beside images. */
	readonly isImage: boolean;
}

interface RegistryDocument {
	/** Of the manifest or index. */
	readonly digest: Digest;
	readonly mediaType: string;
	/** `host[:port]` that gave it. */
	readonly host: string;
	readonly bytes: Buffer;
	readonly annotations: Readonly<Record<string, string>>;
}

export type RegistryImage =
	| (RegistryDocument & { readonly kind: "index"; readonly manifests: readonly RegistryImageEntry[] })
	| (RegistryDocument & {
			readonly kind: "manifest";
			readonly config: RegistryBlob;
			/** Bottom first. */
			readonly layers: readonly RegistryBlob[];
	  });

export interface RegistryImageOptions {
	/** The manifest for this platform, in place of the index. */
	readonly platform?: string | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** @throws {LamellaError} what `RegistryClient.manifest` throws; `EPLATFORM`, `EARCHIVE`, `EINVALID` (the platform) */
export async function readRegistryImage(
	client: RegistryClient,
	reference: RegistryReference,
	{ platform, signal }: RegistryImageOptions = {},
): Promise<RegistryImage> {
	const wanted = platform === undefined ? undefined : parsePlatform(platform);
	const asked = reference.digest ?? reference.tag ?? "latest";
	let document = await client.manifest(reference, asked, { signal });
	for (let depth = 0; wanted !== undefined && document.kind === "index" && depth < MAX_INDEX_DEPTH; depth++) {
		const { digest } = chooseForPlatform(document, reference, wanted);
		document = await client.manifest(reference, digest, { signal });
	}
	return describe(document, familiarRepository(reference));
}

function describe(document: RegistryManifest, repository: string): RegistryImage {
	const { bytes, host, mediaType, kind } = document;
	const digest = document.digest as Digest;
	const what = `${kind} ${digest} of ${repository} from ${host}`;
	if (kind === "index") {
		const index = parseIndex(bytes, what);
		const annotations = annotationsOf(index.annotations);
		const manifests = index.manifests.map((entry) => ({
			...blobOf(entry),
			platform: entry.platform == null ? undefined : platformText(entry.platform),
			isImage: isImageCandidate(entry),
		}));
		return { kind, digest, mediaType, host, bytes, annotations, manifests };
	}
	const manifest = parseManifest(bytes, what);
	return {
		...{ kind, digest, mediaType, host, bytes },
		annotations: annotationsOf(manifest.annotations),
		config: blobOf(manifest.config),
		layers: manifest.layers.map(blobOf),
	};
}

function blobOf({ mediaType, digest, size, annotations }: Descriptor): RegistryBlob {
	return { mediaType, digest, sizeBytes: size, annotations: annotationsOf(annotations) };
}

function annotationsOf(annotations: Descriptor["annotations"]): Readonly<Record<string, string>> {
	return annotations ?? {};
}
