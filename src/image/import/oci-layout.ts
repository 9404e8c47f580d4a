/**
 * Reads an OCI image layout (in an archive or a directory): `index.json`, nested indexes, manifests and blobs.
 * Docker's media types are taken as well. Source: OCI image spec 1.1, image-layout.md, image-index.md, manifest.md.
 */
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import { INDEX_TYPES, MANIFEST_TYPES } from "../../registry/documents/index.ts";
import { blobName, type ImageContent } from "../archive/content.ts";
import type { ImageId, ImageName } from "../contract.ts";
import { type Descriptor, MAX_DOCUMENT_BYTES, parseIndex, verifyDigest } from "../documents/parse.ts";
import { nameFromAnnotation } from "../records/reference.ts";
import type { PlannedImage, PlannedLayer } from "./plan.ts";
import { MAX_INDEX_DEPTH, parseImageManifest, planImage } from "./plan-manifest.ts";
import { fittingPlatform, hostArchitecture, isImageCandidate, offeredPlatforms } from "./platform.ts";

export const OCI_INDEX = "index.json";

/** An entry of the top index: an image (or an index of its platforms) and the name that it has there. */
interface Entry {
	readonly descriptor: Descriptor;
	readonly name: ImageName | undefined;
}

/** All images of a layout, for this machine's platform where there is a choice. @throws EARCHIVE, EDIGEST, ECOMPRESSION */
export function planOci(content: ImageContent): readonly PlannedImage[] {
	const byId = new Map<ImageId, PlannedImage>();
	for (const { descriptor, name } of onePerImage(topEntries(content), content.description)) {
		const image = planEntry(content, descriptor, 0);
		if (image === undefined) continue;
		const names = new Set([...(byId.get(image.id)?.names ?? []), ...(name === undefined ? [] : [name])]);
		byId.set(image.id, { ...image, names: [...names] });
	}
	return [...byId.values()];
}

/** The image whose manifest (or index) has this digest, of whatever platform. @throws as planOci */
export function planOciDigest(content: ImageContent, digest: Digest): PlannedImage | undefined {
	for (const { descriptor, name } of topEntries(content)) {
		const found = findDescriptor(content, [descriptor], digest, 0);
		const image = found === undefined ? undefined : planEntry(content, found, 0);
		if (image !== undefined) return { ...image, names: name === undefined ? [] : [name] };
	}
	return undefined;
}

function topEntries(content: ImageContent): readonly Entry[] {
	const bytes = content.read(OCI_INDEX, MAX_DOCUMENT_BYTES);
	const { manifests } = parseIndex(bytes, `${OCI_INDEX} in ${content.description}`);
	return manifests.filter(isImageCandidate).map((descriptor): Entry => {
		const annotations = descriptor.annotations ?? {};
		const full = annotations["io.containerd.image.name"];
		const ref = annotations["org.opencontainers.image.ref.name"];
		const name =
			(full === undefined ? undefined : nameFromAnnotation(full, undefined)) ??
			(ref === undefined ? undefined : nameFromAnnotation(ref, content.repository));
		return { descriptor, name };
	});
}

/**
 * A top index may list one image once for each platform, under one name or under none; then this machine's is meant.
 * Entries without a name and a platform are images of their own.
 */
function onePerImage(entries: readonly Entry[], from: string): readonly Entry[] {
	const groups = Map.groupBy(
		entries,
		(entry) => entry.name ?? (entry.descriptor.platform == null ? entry : undefined),
	);
	return [...groups.values()].flatMap((group) => {
		const descriptors = group.map(({ descriptor }) => descriptor);
		if (group.length === 1 || descriptors.every(({ platform }) => platform == null)) return group.slice(0, 1);
		const fitting = fittingPlatform(descriptors);
		if (fitting.length === 0) throw noPlatform(from, descriptors, group[0]?.name);
		const chosen = group.filter(({ descriptor }) => fitting.includes(descriptor));
		return chosen[0]?.name === undefined ? chosen : chosen.slice(0, 1);
	});
}

function noPlatform(from: string, offered: readonly Descriptor[], what: string | undefined): LamellaError {
	return new LamellaError(
		"EARCHIVE",
		`${from} has no image for linux/${hostArchitecture()}${what === undefined ? "" : ` in ${what}`}; ` +
			`it offers ${offeredPlatforms(offered)}; take one of them with --select DIGEST`,
	);
}

/** At any depth; indexes that the layout does not have are passed over. */
function findDescriptor(
	content: ImageContent,
	descriptors: readonly Descriptor[],
	digest: Digest,
	depth: number,
): Descriptor | undefined {
	for (const descriptor of descriptors) {
		if (descriptor.digest === digest) return descriptor;
		const isIndex = INDEX_TYPES.has(descriptor.mediaType) && depth < MAX_INDEX_DEPTH;
		if (!isIndex || content.find(blobName(descriptor.digest)) === undefined) continue;
		const found = findDescriptor(content, readIndex(content, descriptor), digest, depth + 1);
		if (found !== undefined) return found;
	}
	return undefined;
}

function readIndex(content: ImageContent, descriptor: Descriptor): readonly Descriptor[] {
	const bytes = readBlob(content, descriptor, "index");
	return parseIndex(bytes, `index ${descriptor.digest} in ${content.description}`).manifests;
}

/** The image that a descriptor leads to, through indexes; undefined where it is something else: artifacts may stand beside images. */
function planEntry(content: ImageContent, descriptor: Descriptor, depth: number): PlannedImage | undefined {
	if (MANIFEST_TYPES.has(descriptor.mediaType)) return planManifest(content, descriptor);
	if (!INDEX_TYPES.has(descriptor.mediaType)) return undefined;
	const from = content.description;
	if (depth === MAX_INDEX_DEPTH) {
		throw new LamellaError(
			"EARCHIVE",
			`${from} has indexes within indexes, more than ${MAX_INDEX_DEPTH} deep; no image needs that`,
		);
	}
	const manifests = readIndex(content, descriptor);
	const [chosen] = fittingPlatform(manifests);
	if (chosen === undefined) throw noPlatform(from, manifests, `index ${descriptor.digest}`);
	return planEntry(content, chosen, depth + 1);
}

function planManifest(content: ImageContent, descriptor: Descriptor): PlannedImage {
	const from = content.description;
	const readManifest = (): Buffer => readBlob(content, descriptor, "manifest");
	const manifest = parseImageManifest(readManifest(), `manifest ${descriptor.digest} in ${from}`);
	return planImage(manifest, {
		from,
		digest: descriptor.digest,
		readManifest,
		readConfig: () => readBlob(content, manifest.config, "config"),
		locate: (layer) => locateLayer(content, layer),
	});
}

function locateLayer(content: ImageContent, layer: Descriptor): Pick<PlannedLayer, "source" | "member"> {
	const member = blobName(layer.digest);
	const located = content.find(member);
	if (located === undefined) throw missing(content, layer, "layer");
	if (located.sizeBytes !== layer.size) throw wrongSize(content, layer, "layer", located.sizeBytes);
	// What the bytes are is trusted over what the type says of their compression; the digest ties both to the image.
	return { source: { from: "range", ...located, compression: "detect" }, member };
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
		`${content.description} lacks ${what} ${descriptor.digest}: it is truncated, or was saved without all its blobs; fetch it again`,
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
		`${what} ${descriptor.digest} in ${content.description} has ${actual} bytes, and ${descriptor.size} were expected: ` +
			"it is truncated or damaged; fetch it again",
	);
}
