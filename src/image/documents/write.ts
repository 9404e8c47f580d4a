/**
 * The documents of an exported image, the same bytes for the same image. Source: OCI image spec 1.1 (image-layout.md,
 * manifest.md, image-index.md, annotations.md); moby image/spec/v1.2.md for manifest.json.
 */
import { type Compression, type Digest, digestOf } from "../../layer/index.ts";
import { blobName } from "../archive/content.ts";
import type { ImageName } from "../contract.ts";
import { splitName } from "../records/reference.ts";
import { jsonBytes } from "./json.ts";

/** A blob that is in memory. */
export interface DocumentBlob {
	readonly digest: Digest;
	readonly bytes: Buffer;
}

export interface BlobDescriptor {
	readonly digest: Digest;
	readonly sizeBytes: number;
}

export const MANIFEST_TYPE: string = "application/vnd.oci.image.manifest.v1+json";

const LAYER_MEDIA_TYPES: Readonly<Record<Compression, string>> = {
	none: "application/vnd.oci.image.layer.v1.tar",
	gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
	zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
};

/** What layers of a type are compressed with; those that may not be given on have types of their own, and the same form. */
export const LAYER_COMPRESSIONS: ReadonlyMap<string, Compression> = new Map([
	...Object.entries(LAYER_MEDIA_TYPES).map(
		([compression, type]) => [type, compression as Compression] as const,
	),
	["application/vnd.docker.image.rootfs.diff.tar", "none"],
	["application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"],
	["application/vnd.docker.image.rootfs.diff.tar.zstd", "zstd"],
]);

export function documentBlob(bytes: Buffer): DocumentBlob {
	return { digest: digestOf(bytes), bytes };
}

/** The marker file of a layout. */
export function layoutFile(): Buffer {
	return jsonBytes({ imageLayoutVersion: "1.0.0" });
}

export function manifestBlob(
	config: DocumentBlob,
	layers: readonly (BlobDescriptor & { readonly compression: Compression })[],
): DocumentBlob {
	return documentBlob(
		jsonBytes({
			schemaVersion: 2,
			mediaType: MANIFEST_TYPE,
			config: {
				mediaType: "application/vnd.oci.image.config.v1+json",
				digest: config.digest,
				size: config.bytes.length,
			},
			layers: layers.map(({ digest, sizeBytes, compression }) => ({
				mediaType: LAYER_MEDIA_TYPES[compression],
				digest,
				size: sizeBytes,
			})),
		}),
	);
}

/** The tag is the layout's reference, as containerd and umoci have it; the whole name stands beside it. */
export function indexFile(
	manifest: DocumentBlob,
	platform: { readonly os: string; readonly architecture: string },
	name: ImageName | undefined,
): Buffer {
	const tag = name === undefined ? undefined : splitName(name)?.tag;
	return jsonBytes({
		schemaVersion: 2,
		mediaType: "application/vnd.oci.image.index.v1+json",
		manifests: [
			{
				mediaType: MANIFEST_TYPE,
				digest: manifest.digest,
				size: manifest.bytes.length,
				...(name === undefined
					? {}
					: {
							annotations: {
								"io.containerd.image.name": name,
								"org.opencontainers.image.ref.name": tag,
							},
						}),
				...(platform.os === "" || platform.architecture === ""
					? {}
					: { platform: { architecture: platform.architecture, os: platform.os } }),
			},
		],
	});
}

/** What `docker load` reads first; the blobs lie where the OCI layout has them, as docker 25 and later save them. */
export function dockerManifestFile(
	config: DocumentBlob,
	layers: readonly BlobDescriptor[],
	name: ImageName | undefined,
): Buffer {
	return jsonBytes([
		{
			Config: blobName(config.digest),
			RepoTags: name === undefined ? null : [name],
			Layers: layers.map(({ digest }) => blobName(digest)),
		},
	]);
}
