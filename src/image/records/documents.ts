/**
 * The documents of images (config and manifest) by their digests, byte for byte. Only this file knows where they are
 * kept: as records of their own, which an image's record refers to.
 */
import { LamellaError } from "../../errors/index.ts";
import { type Digest, digestOf } from "../../layer/index.ts";
import type { LayerStore, StoreTransaction } from "../../store/index.ts";
import { type ImageRecord, keyOf } from "./image-record.ts";

const NAMESPACE = "documents";

/** Documents of images that are not recorded yet. */
const coming = new Map<Digest, Buffer>();

/** Makes a document ready for the image that is recorded next. */
export async function putDocument(_store: LayerStore, bytes: Buffer): Promise<Digest> {
	const digest = digestOf(bytes);
	coming.set(digest, bytes);
	return digest;
}

/** Keeps the documents of an image that is recorded. */
export function keepDocuments(transaction: StoreTransaction, record: ImageRecord): void {
	for (const digest of documentsOf(record)) {
		const bytes = coming.get(digest);
		if (bytes !== undefined) transaction.records<string>(NAMESPACE).put(keyOf(digest), bytes.toString());
	}
}

/** @throws {LamellaError} `ENOTFOUND`, `ECORRUPT` */
export function getDocument(store: LayerStore, digest: Digest): Buffer {
	const text = store.records<string>(NAMESPACE).get(keyOf(digest));
	if (text === undefined) throw new LamellaError("ENOTFOUND", `document ${digest} is gone`);
	return Buffer.from(text);
}

/** What a record keeps alive. */
function documentsOf({ id, manifestDigest }: ImageRecord): readonly Digest[] {
	return manifestDigest === undefined ? [id] : [id, manifestDigest];
}

/** The image is removed: so are its documents, which no other image has. */
export function dropDocuments(transaction: StoreTransaction, record: ImageRecord): void {
	const documents = transaction.records<string>(NAMESPACE);
	for (const digest of documentsOf(record)) documents.remove(keyOf(digest));
}
