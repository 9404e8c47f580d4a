/**
 * Reads an OCI image layout (in an archive or a directory): `index.json`, nested indexes, manifests and blobs.
 * Docker's media types are taken as well. Source: OCI image spec 1.1, image-layout.md, image-index.md, manifest.md.
 */
import { LamellaError } from "../../errors/index.ts";
import type { LayerSource } from "../../layer/index.ts";
import { blobName, type ImageContent } from "../archive/content.ts";
import type { ImageId, ImageName } from "../contract.ts";
import {
	createdAtMs,
	type Descriptor,
	MAX_DOCUMENT_BYTES,
	parseConfig,
	parseIndex,
	parseManifest,
	verifyDigest,
} from "../documents/parse.ts";
import { nameFromAnnotation } from "../records/reference.ts";
import type { PlannedImage, PlannedLayer } from "./plan.ts";
import { choosePlatform, hostArchitecture, isImageCandidate, platformText } from "./platform.ts";

export const OCI_INDEX = "index.json";

const INDEX_TYPES = new Set([
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
]);
const MANIFEST_TYPES = new Set([
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
]);
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
/** Indexes within indexes: one level is usual, and a loop cannot be made of digests. */
const MAX_INDEX_DEPTH = 4;

/** An entry of the top index: an image (or an index of its platforms) and the name that it has there. */
interface Entry {
	readonly descriptor: Descriptor;
	readonly name: ImageName | undefined;
}

/** All images of a layout, for this machine's platform where there is a choice. @throws EARCHIVE, EDIGEST, ENOTSUPPORTED */
export function planOci(content: ImageContent): readonly PlannedImage[] {
	const index = parseIndex(
		content.read(OCI_INDEX, MAX_DOCUMENT_BYTES),
		`${OCI_INDEX} in ${content.description}`,
	);
	const entries = index.manifests.filter(isImageCandidate).map((descriptor): Entry => {
		const annotations = descriptor.annotations ?? {};
		const full = annotations["io.containerd.image.name"];
		const ref = annotations["org.opencontainers.image.ref.name"];
		const name =
			(full === undefined ? undefined : nameFromAnnotation(full, undefined)) ??
			(ref === undefined ? undefined : nameFromAnnotation(ref, content.repository));
		return { descriptor, name };
	});
	const byId = new Map<ImageId, PlannedImage>();
	for (const { descriptor, name } of onePerName(entries)) {
		const manifest = imageManifest(content, descriptor, 0);
		if (manifest === undefined) continue;
		const image = planManifest(content, manifest.descriptor, manifest.bytes);
		const known = byId.get(image.id);
		const names = [...(known?.names ?? []), ...(name === undefined ? [] : [name])];
		byId.set(image.id, { ...image, names: [...new Set(names)] });
	}
	return [...byId.values()];
}

/** A top index may list one name once for each platform; then this machine's is meant. */
function onePerName(entries: readonly Entry[]): readonly Entry[] {
	const groups = new Map<ImageName | Entry, Entry[]>();
	for (const entry of entries) {
		const key = entry.name ?? entry;
		groups.set(key, [...(groups.get(key) ?? []), entry]);
	}
	return [...groups.values()].map((group) => {
		const chosen = choosePlatform(group.map(({ descriptor }) => descriptor));
		return group.find(({ descriptor }) => descriptor === chosen) ?? (group[0] as Entry);
	});
}

/** The manifest that a descriptor leads to, through indexes; undefined where it is no image. */
function imageManifest(
	content: ImageContent,
	descriptor: Descriptor,
	depth: number,
): { descriptor: Descriptor; bytes: Buffer } | undefined {
	const from = content.description;
	if (MANIFEST_TYPES.has(descriptor.mediaType)) {
		return { descriptor, bytes: readBlob(content, descriptor, "manifest") };
	}
	if (!INDEX_TYPES.has(descriptor.mediaType)) {
		// Signatures and other artifacts may stand beside images.
		return undefined;
	}
	if (depth === MAX_INDEX_DEPTH) {
		throw new LamellaError(
			"EARCHIVE",
			`${from} has indexes more than ${MAX_INDEX_DEPTH} deep in one another`,
		);
	}
	const bytes = readBlob(content, descriptor, "index");
	const { manifests } = parseIndex(bytes, `index ${descriptor.digest} in ${from}`);
	const chosen = choosePlatform(manifests);
	if (chosen === undefined) {
		const offered = manifests.filter(isImageCandidate).map(platformText).join(", ") || "nothing";
		throw new LamellaError(
			"EARCHIVE",
			`${from} has no image for linux/${hostArchitecture()}: index ${descriptor.digest} offers ${offered}`,
		);
	}
	return imageManifest(content, chosen, depth + 1);
}

function planManifest(content: ImageContent, descriptor: Descriptor, bytes: Buffer): PlannedImage {
	const from = content.description;
	const what = `manifest ${descriptor.digest} in ${from}`;
	const manifest = parseManifest(bytes, what);
	if (manifest.config.mediaType !== "" && !CONFIG_TYPES.has(manifest.config.mediaType)) {
		throw new LamellaError(
			"EARCHIVE",
			`${what} is no container image: its config is of type ${manifest.config.mediaType}`,
		);
	}
	const configBytes = readBlob(content, manifest.config, "config");
	const config = parseConfig(configBytes, `config ${manifest.config.digest} in ${from}`);
	const diffIds = config.rootfs.diff_ids;
	if (diffIds.length !== manifest.layers.length) {
		throw new LamellaError(
			"EARCHIVE",
			`${what} lists ${manifest.layers.length} layers, but its config ${diffIds.length}`,
		);
	}
	return {
		id: manifest.config.digest as ImageId,
		names: [],
		configBytes,
		manifestBytes: bytes,
		manifestDigest: descriptor.digest,
		os: config.os,
		architecture: config.architecture,
		createdAtMs: createdAtMs(config.created),
		layers: diffIds.map((diffId, i) => {
			const layer = manifest.layers[i] as Descriptor;
			return { ...locateLayer(content, layer), diffId };
		}),
	};
}

function locateLayer(content: ImageContent, layer: Descriptor): Omit<PlannedLayer, "diffId"> {
	const from = content.description;
	const base = layer.mediaType.replace(/[.+](gzip|zstd)$/, "");
	if (layer.mediaType !== "" && !LAYER_TYPES.has(base)) {
		throw new LamellaError(
			"ECOMPRESSION",
			`layer ${layer.digest} in ${from} is of type ${layer.mediaType}; layers must be tars, plain or compressed by gzip or zstd`,
		);
	}
	const member = blobName(layer.digest);
	const located = content.find(member);
	if (located === undefined) throw missing(content, layer, "layer");
	if (located.sizeBytes !== layer.size) throw wrongSize(content, layer, "layer", located.sizeBytes);
	// What the bytes are is trusted over what the type says of their compression; the digest ties both to the image.
	const source: LayerSource = { from: "range", ...located, compression: "detect" };
	return { source, member, blobDigest: layer.digest };
}

function readBlob(content: ImageContent, descriptor: Descriptor, what: string): Buffer {
	const name = blobName(descriptor.digest);
	const located = content.find(name);
	if (located === undefined) throw missing(content, descriptor, what);
	if (located.sizeBytes !== descriptor.size) throw wrongSize(content, descriptor, what, located.sizeBytes);
	const bytes = content.read(name, MAX_DOCUMENT_BYTES);
	verifyDigest(bytes, descriptor.digest, what, content.description);
	return bytes;
}

function missing(content: ImageContent, descriptor: Descriptor, what: string): LamellaError {
	return new LamellaError(
		"EARCHIVE",
		`${content.description} lacks ${what} ${descriptor.digest}: it is truncated, or was saved without all its blobs`,
	);
}

function wrongSize(
	content: ImageContent,
	descriptor: Descriptor,
	what: string,
	actual: number,
): LamellaError {
	return new LamellaError(
		"EDIGEST",
		`${what} ${descriptor.digest} in ${content.description} has ${actual} bytes where ${descriptor.size} were promised: ` +
			"it is truncated or damaged; get it anew",
	);
}
