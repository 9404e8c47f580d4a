/**
 * The images of a store, and what references to them mean. An image's record holds its names; a second namespace says
 * in which record to look for a name. Both change in one transaction, so that a name moves in one step.
 *
 * What changes records is a function of a StoreTransaction: it happens together with the recording or the removing of
 * layers, so that no process ever sees an image without its layers.
 */
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import type { LayerId, LayerReader, RecordsWriter, StoreTransaction } from "../../store/index.ts";
import type { ImageId, ImageInfo, ImageName } from "../contract.ts";
import { documentsOf } from "./documents.ts";
import { type ImageRecord, keyOf, readRecord } from "./image-record.ts";
import { parseImageReference } from "./reference.ts";
import { byRegistryDigest, joinRepoDigests } from "./repo-digests.ts";

export type NewImage = Omit<ImageRecord, "names" | "importedAtMs">;

/** Says which image a layer was created from, where several images end at the same layer. */
export const BASE_IMAGE_LABEL = "lamella.image";

export const IMAGES = "images";
/** Name → key of the image's record. */
export const NAMES = "image-names";

type Reader = Pick<LayerReader, "records">;

/** In order of first name, nameless ones last. @throws {LamellaError} `ECORRUPT` */
export function listImages(reader: Reader): readonly ImageInfo[] {
	return Array.from(reader.records(IMAGES).list(), ([key, stored]) => readRecord(key, stored)).sort((a, b) =>
		sortKey(a) < sortKey(b) ? -1 : 1,
	);
}

/** The image of this id. @throws {LamellaError} `ECORRUPT` */
export function imageOf(reader: Reader, id: Digest): ImageInfo | undefined {
	return byKey(reader, keyOf(id));
}

/**
 * The image that a reference means: a whole digest (of the image or its manifest), a name, the beginning of an id.
 * @throws {LamellaError} `EINVALID` where several ids begin so, `ECORRUPT`
 */
export function findImage(reader: Reader, reference: string): ImageInfo | undefined {
	const { digest, name, idPrefix } = parseImageReference(reference);
	if (digest !== undefined) {
		return imageOf(reader, digest) ?? byRegistryDigest(listImages(reader), digest);
	}
	const key = name === undefined ? undefined : reader.records<string>(NAMES).get(name);
	if (key !== undefined) return byKey(reader, key);
	if (idPrefix === undefined) return undefined;
	const begun = listImages(reader).filter(({ id }) => keyOf(id).startsWith(idPrefix));
	if (begun.length > 1) {
		const ids = begun.map(({ id }) => keyOf(id).slice(0, 16)).join(", ");
		throw new LamellaError(
			"EINVALID",
			`${reference} is the beginning of ${begun.length} images' ids (${ids}); write more of it`,
		);
	}
	return begun[0];
}

export function noSuchImage(reference: string): LamellaError {
	return new LamellaError(
		"ENOTFOUND",
		`there is no image ${JSON.stringify(reference)}; \`lamella images\` lists them`,
	);
}

function byKey(reader: Reader, key: string): ImageInfo | undefined {
	const stored = reader.records(IMAGES).get(key);
	return stored === undefined ? undefined : readRecord(key, stored);
}

/** Records an image with these names, besides those that it has; other images lose them. */
export function saveImage(
	transaction: StoreTransaction,
	image: NewImage,
	names: readonly ImageName[],
): ImageInfo {
	const known = imageOf(transaction, image.id);
	const owners = transaction.records<string>(NAMES);
	for (const name of names) {
		const owner = owners.get(name);
		if (owner !== undefined && owner !== keyOf(image.id)) forgetNames(transaction, owner, [name]);
		owners.put(name, keyOf(image.id));
	}
	return putRecord(transaction, {
		...image,
		manifestDigest: image.manifestDigest ?? known?.manifestDigest,
		repoDigests: joinRepoDigests(known?.repoDigests, image.repoDigests),
		pushedManifests: image.pushedManifests ?? known?.pushedManifests,
		names: [...new Set([...(known?.names ?? []), ...names])].sort(),
		importedAtMs: known?.importedAtMs ?? Date.now(),
	});
}

/** Takes these names from an image, which stays. */
export function forgetNames(transaction: StoreTransaction, key: string, names: readonly ImageName[]): void {
	const known = byKey(transaction, key);
	if (known === undefined) return;
	for (const name of names) transaction.records<string>(NAMES).remove(name);
	putRecord(transaction, { ...known, names: known.names.filter((name) => !names.includes(name)) });
}

/** Takes an image out, with all its names, also where its record is damaged. */
export function forgetImage(transaction: StoreTransaction, id: ImageId): void {
	const key = keyOf(id);
	const owners = transaction.records<string>(NAMES);
	const names = Array.from(owners.list()).filter(([, owner]) => owner === key);
	for (const [name] of names) owners.remove(name);
	transaction.records(IMAGES).remove(key);
}

function putRecord(transaction: StoreTransaction, image: ImageRecord): ImageInfo {
	const { id, names, createdAtMs, importedAtMs, os, architecture, layers } = image;
	const { manifestDigest, repoDigests, pushedManifests } = image;
	const record = {
		id,
		names,
		createdAtMs,
		importedAtMs,
		os,
		architecture,
		layers,
		manifestDigest,
		repoDigests,
		pushedManifests,
	};
	const records: RecordsWriter<ImageRecord> = transaction.records(IMAGES);
	records.put(keyOf(id), record, { documents: documentsOf(record) });
	return readRecord(keyOf(id), record);
}

/** Layers of any of these images. */
export function layersOf(images: readonly ImageInfo[]): ReadonlySet<LayerId> {
	return new Set(images.flatMap(({ layers }) => layers.map(({ layer }) => layer)));
}

function sortKey({ names, id }: ImageInfo): string {
	return names[0] ?? `~${id}`;
}
