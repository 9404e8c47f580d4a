/**
 * What the store's database has of an image: all that a listing shows. Its documents are files (documents.ts).
 * Records are looked at when they are read, by hand: a schema library would take most of a listing's time.
 */
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import type { ImageId, ImageInfo, ImageLayer, RepoDigest } from "../contract.ts";

/** As it is stored: under the hex digits of its id. */
export type ImageRecord = Omit<ImageInfo, "sizeBytes">;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** The key of an image's record. */
export function keyOf(id: Digest): string {
	return id.slice("sha256:".length);
}

/** @throws {LamellaError} `ECORRUPT` where the record is not one that was written here */
export function readRecord(key: string, stored: unknown): ImageInfo {
	const wrong = firstFault(key, stored);
	if (wrong !== undefined) {
		throw new LamellaError(
			"ECORRUPT",
			`the record of image sha256:${key} is damaged: ${wrong}; \`lamella rmi sha256:${key}\` takes it out, then import the image again`,
			{ layer: `sha256:${key}` },
		);
	}
	const record = stored as ImageRecord;
	return { ...record, sizeBytes: record.layers.reduce((sum, { tarSizeBytes }) => sum + tarSizeBytes, 0) };
}

function firstFault(key: string, stored: unknown): string | undefined {
	if (!isObject(stored)) return "it is no object";
	const record: { readonly [K in keyof ImageRecord]?: unknown } = stored;
	if (record.id !== `sha256:${key}` || !isDigest(record.id)) return "its id is not its key's";
	if (!isListOf(record.names, isText)) return "names are no list of texts";
	if (!isSize(record.importedAtMs)) return "importedAtMs is no time";
	if (record.createdAtMs !== undefined && !Number.isSafeInteger(record.createdAtMs))
		return "createdAtMs is no time";
	if (!isText(record.os) || !isText(record.architecture)) return "the platform is no text";
	if (record.manifestDigest !== undefined && !isDigest(record.manifestDigest))
		return "manifestDigest is no digest";
	if (record.repoDigests !== undefined && !isListOf(record.repoDigests, isRepoDigest))
		return "repoDigests are no list of digests in repositories";
	if (record.pushedManifests !== undefined && !isListOf(record.pushedManifests, isDigest))
		return "pushedManifests are no list of digests";
	if (!isListOf(record.layers, isLayer)) return "a layer is not described as one";
	return undefined;
}

function isLayer(value: unknown): boolean {
	if (!isObject(value)) return false;
	const layer: { readonly [K in keyof ImageLayer]?: unknown } = value;
	return (
		isDigest(layer.diffId) &&
		isDigest(layer.chainId) &&
		isText(layer.layer) &&
		layer.layer !== "" &&
		isSize(layer.tarSizeBytes)
	);
}

function isRepoDigest(value: unknown): boolean {
	if (!isObject(value)) return false;
	const one: { readonly [K in keyof RepoDigest]?: unknown } = value;
	return (
		isText(one.repository) && isDigest(one.digest) && (one.platform === undefined || isText(one.platform))
	);
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
	return Array.isArray(value) && value.every(isItem);
}

function isObject(value: unknown): value is object {
	return typeof value === "object" && value !== null;
}

function isText(value: unknown): value is string {
	return typeof value === "string";
}

function isDigest(value: unknown): value is ImageId {
	return isText(value) && DIGEST.test(value);
}

function isSize(value: unknown): boolean {
	return Number.isSafeInteger(value) && (value as number) >= 0;
}
