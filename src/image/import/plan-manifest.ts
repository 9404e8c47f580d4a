/** What an OCI or docker manifest and its config say together of an image, wherever their bytes and the layers come from. */
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import type { ImageId } from "../contract.ts";
import {
	type Descriptor,
	describeConfig,
	type ManifestDocument,
	parseConfig,
	parseManifest,
} from "../documents/parse.ts";
import type { PlannedImage, PlannedLayer } from "./plan.ts";

/** Indexes within indexes: one level is usual, and a loop cannot be made of digests. */
export const MAX_INDEX_DEPTH = 4;

const CONFIG_TYPES = new Set([
	"application/vnd.oci.image.config.v1+json",
	"application/vnd.docker.container.image.v1+json",
]);
/** What a layer's media type may be once its compression suffix is off. */
const LAYER_TYPES = new Set([
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
]);

/** A manifest that is one of a container image. `what` names it in errors. @throws EARCHIVE */
export function parseImageManifest(bytes: Buffer, what: string): ManifestDocument {
	const manifest = parseManifest(bytes, what);
	if (manifest.config.mediaType !== "" && !CONFIG_TYPES.has(manifest.config.mediaType)) {
		throw new LamellaError(
			"EARCHIVE",
			`${what} is no container image, and cannot be imported: its config is of type ${manifest.config.mediaType}`,
		);
	}
	return manifest;
}

export interface ManifestContent {
	/** For errors. */
	readonly from: string;
	/** Of the manifest. */
	readonly digest: Digest;
	readonly readManifest: () => Buffer;
	readonly readConfig: () => Buffer;
	/** Where a layer's blob comes from. */
	readonly locate: (layer: Descriptor) => Pick<PlannedLayer, "source" | "member" | "again">;
}

/** @throws EARCHIVE (the documents), ECOMPRESSION (a layer's type), and what `content` throws */
export function planImage(manifest: ManifestDocument, content: ManifestContent): PlannedImage {
	const { from, digest, readManifest, readConfig, locate } = content;
	const config = parseConfig(readConfig(), `config ${manifest.config.digest} in ${from}`);
	const diffIds = config.rootfs.diff_ids;
	if (diffIds.length !== manifest.layers.length) {
		throw new LamellaError(
			"EARCHIVE",
			`manifest ${digest} in ${from} lists ${manifest.layers.length} layers and its config ${diffIds.length}; the image was badly made`,
		);
	}
	return {
		...describeConfig(config),
		id: manifest.config.digest as ImageId,
		names: [],
		readConfig,
		manifestDigest: digest,
		readManifest,
		layers: diffIds.map((diffId, i) => {
			const layer = manifest.layers[i] as Descriptor;
			checkLayerType(layer, from);
			const located = locate(layer);
			return {
				source: located.source,
				again: located.again,
				// Of a layer that is fetched it says more once that has begun.
				get member() {
					return located.member;
				},
				blobDigest: layer.digest,
				diffId,
			};
		}),
	};
}

function checkLayerType({ mediaType, digest }: Descriptor, from: string): void {
	if (mediaType === "" || LAYER_TYPES.has(mediaType.replace(/[.+](gzip|zstd)$/, ""))) return;
	throw new LamellaError(
		"ECOMPRESSION",
		`layer ${digest} in ${from} is of type ${mediaType}; layers must be tars, plain or compressed by gzip or zstd`,
	);
}
