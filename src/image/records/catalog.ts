/**
 * The image records of a store, and what references to them mean. A record is one JSON value under the hex digits of
 * the image's id; it holds its names, so that a name moves from one image to another in one transaction.
 *
 * What changes records is a function of a StoreTransaction: it happens together with the recording or the removing of
 * layers, so that no process ever sees an image without its layers.
 */
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import type { LayerId, LayerStore, RecordsReader, StoreTransaction } from "../../store/index.ts";
import type { ImageDetails, ImageId, ImageInfo, ImageLayer, ImageName } from "../contract.ts";
import { parseReference } from "./reference.ts";

/** As it is stored. Documents are UTF-8 text, byte for byte: parsing refused them otherwise. */
export interface ImageRecord {
	readonly id: ImageId;
	readonly names: readonly ImageName[];
	readonly createdAtMs?: number | undefined;
	readonly importedAtMs: number;
	readonly os: string;
	readonly architecture: string;
	readonly layers: readonly ImageLayer[];
	readonly config: string;
	readonly manifest?: string | undefined;
	readonly manifestDigest?: Digest | undefined;
}

export type NewImage = Omit<ImageRecord, "names" | "importedAtMs">;

const NAMESPACE = "images";

/** The records as they are now. */
export function imageRecords(store: LayerStore | StoreTransaction): RecordsReader<ImageRecord> {
	return store.records<ImageRecord>(NAMESPACE);
}

/** In order of first name, nameless ones last. */
export function listImages(records: RecordsReader<ImageRecord>): readonly ImageRecord[] {
	return Array.from(records.list(), ([, record]) => record).sort((a, b) =>
		sortKey(a) < sortKey(b) ? -1 : 1,
	);
}

/**
 * The image that a reference means: a whole digest (of the image or its manifest), a name, the beginning of an id.
 * @throws {LamellaError} `EINVALID` where several ids begin so
 */
export function findImage(records: RecordsReader<ImageRecord>, reference: string): ImageRecord | undefined {
	const { digest, name, idPrefix } = parseReference(reference);
	if (digest !== undefined) {
		return (
			records.get(keyOf(digest)) ??
			listImages(records).find(({ manifestDigest }) => manifestDigest === digest)
		);
	}
	const all = listImages(records);
	const named = name === undefined ? undefined : all.find(({ names }) => names.includes(name));
	if (named !== undefined || idPrefix === undefined) return named;
	const begun = all.filter(({ id }) => keyOf(id).startsWith(idPrefix));
	if (begun.length > 1) {
		const ids = begun.map(({ id }) => keyOf(id).slice(0, 16)).join(", ");
		throw new LamellaError(
			"EINVALID",
			`${reference} begins the ids of ${begun.length} images (${ids}); write more of it`,
		);
	}
	return begun[0];
}

/** Records an image with these names, besides those that it has; other images lose them. */
export function saveImage(
	transaction: StoreTransaction,
	image: NewImage,
	names: readonly ImageName[],
): ImageRecord {
	const records = transaction.records<ImageRecord>(NAMESPACE);
	for (const other of listImages(records)) {
		if (other.id === image.id || !other.names.some((name) => names.includes(name))) continue;
		records.put(keyOf(other.id), { ...other, names: other.names.filter((name) => !names.includes(name)) });
	}
	const known = records.get(keyOf(image.id));
	const record: ImageRecord = {
		...image,
		manifest: image.manifest ?? known?.manifest,
		manifestDigest: image.manifestDigest ?? known?.manifestDigest,
		names: [...new Set([...(known?.names ?? []), ...names])].sort(),
		importedAtMs: known?.importedAtMs ?? Date.now(),
	};
	records.put(keyOf(image.id), record);
	return record;
}

/** Takes an image out, or with `names` only these from it. */
export function forgetImage(transaction: StoreTransaction, id: ImageId, names?: readonly ImageName[]): void {
	const records = transaction.records<ImageRecord>(NAMESPACE);
	const known = records.get(keyOf(id));
	if (known === undefined) return;
	if (names === undefined) records.remove(keyOf(id));
	else records.put(keyOf(id), { ...known, names: known.names.filter((name) => !names.includes(name)) });
}

/** Layers of any image. */
export function usedLayers(records: RecordsReader<ImageRecord>): ReadonlySet<LayerId> {
	return new Set(listImages(records).flatMap(({ layers }) => layers.map(({ layer }) => layer)));
}

/** A record as the library shows it. */
export function infoOf(record: ImageRecord): ImageInfo {
	const { id, names, createdAtMs, importedAtMs, os, architecture, layers } = record;
	const sizeBytes = layers.reduce((sum, { tarSizeBytes }) => sum + tarSizeBytes, 0);
	return { id, names, createdAtMs, importedAtMs, sizeBytes, os, architecture, layers };
}

/** A record with its documents. */
export function detailsOf(record: ImageRecord): ImageDetails {
	return {
		...infoOf(record),
		configBytes: Buffer.from(record.config),
		config: JSON.parse(record.config),
		manifestBytes: record.manifest === undefined ? undefined : Buffer.from(record.manifest),
		manifestDigest: record.manifestDigest,
	};
}

function keyOf(id: Digest): string {
	return id.slice("sha256:".length);
}

function sortKey({ names, id }: ImageRecord): string {
	return names[0] === undefined ? `~${id}` : names[0];
}
