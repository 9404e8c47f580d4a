/**
 * Removing images: a name, then with the last one the image, then the layers that nothing uses any more; all in one
 * transaction with the removal of the layers' records.
 */
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import type { LayerId, LayerInfo, LayerStore, StoreTransaction } from "../../store/index.ts";
import type { ImageId, ImageInfo, ImageName, RemovedImage } from "../contract.ts";
import {
	BASE_IMAGE_LABEL,
	findImage,
	forgetImage,
	forgetNames,
	imageOf,
	layersOf,
	listImages,
	noSuchImage,
} from "./catalog.ts";
import { keyOf } from "./image-record.ts";
import { parseImageReference } from "./reference.ts";

const MAX_ATTEMPTS = 5;

/** What was looked at has changed before the transaction ran; `cause` is what the store had against it. */
class Outrun extends Error {
	override readonly name = "Outrun";
}

/**
 * By name: takes the name, with the last name the image. By id: the image, also where its record is damaged (its layers
 * then stay).
 * @throws {LamellaError} `ENOTFOUND`, `EREFERENCED`, `EBUSY`
 */
export async function removeImage(store: LayerStore, reference: string): Promise<RemovedImage> {
	for (let attempt = 1; ; attempt++) {
		try {
			return await removeOnce(store, reference);
		} catch (error) {
			if (!(error instanceof Outrun)) throw error;
			if (attempt < MAX_ATTEMPTS) continue;
			const busy = `image ${reference} is imported or tagged at the same time; try again`;
			throw error.cause ?? new LamellaError("EBUSY", busy);
		}
	}
}

async function removeOnce(store: LayerStore, reference: string): Promise<RemovedImage> {
	const { digest, name } = parseImageReference(reference);
	let image: ImageInfo | undefined;
	try {
		image = findImage(store, reference);
	} catch (error) {
		if (!isLamellaError(error, "ECORRUPT") || digest === undefined || error.layer !== digest) throw error;
		await store.transaction((transaction) => forgetImage(transaction, digest as ImageId));
		return { names: [], image: digest as ImageId, layers: [] };
	}
	if (image === undefined) throw noSuchImage(reference);
	const { id, names } = image;
	const byName = name !== undefined && names.includes(name);
	const mustBeAsSeen = (transaction: StoreTransaction): void => {
		if (imageOf(transaction, id)?.names.join() !== names.join()) throw new Outrun();
	};
	if (byName && names.length > 1) {
		await store.transaction((transaction) => {
			mustBeAsSeen(transaction);
			forgetNames(transaction, keyOf(id), [name as ImageName]);
		});
		return { names: [name as ImageName], layers: [] };
	}
	const others = listImages(store).filter((other) => other.id !== id);
	refuseWhereUsed(store, image, others);
	const layers = removable(store, image, layersOf(others));
	const forget = (transaction: StoreTransaction): void => {
		mustBeAsSeen(transaction);
		forgetImage(transaction, id);
		const used = layersOf(listImages(transaction));
		if (layers.some((layer) => used.has(layer))) throw new Outrun();
	};
	if (layers.length === 0) await store.transaction(forget);
	else {
		await store.removeAll(layers, { also: forget }).catch((cause: unknown) => {
			if (isLamellaError(cause, "EBUSY") && cause.layer !== undefined) throw isMounted(names[0] ?? id, cause);
			const changed = isLamellaError(cause, "EREFERENCED") || isLamellaError(cause, "ENOTFOUND");
			throw changed ? new Outrun(undefined, { cause }) : cause;
		});
	}
	return { names, image: id, layers };
}

/** The store's error advises what a layer's removal can do, and an image's cannot. */
function isMounted(image: string, cause: LamellaError): LamellaError {
	const { layer, path } = cause;
	const where = path === undefined ? "in another mount namespace" : `at ${path}`;
	const out = path === undefined ? "unmount it there first" : `unmount it first (lamella unmount ${layer})`;
	const message = `cannot remove image ${image}: its layer "${layer}" is mounted ${where}; ${out}`;
	return new LamellaError("EBUSY", message, { layer, path, cause });
}

/** Containers are made from images: an image goes only after the layers that people made over it. */
function refuseWhereUsed(store: LayerStore, image: ImageInfo, others: readonly ImageInfo[]): void {
	const top = image.layers.at(-1)?.layer;
	if (top === undefined || !store.has(top)) return;
	const imageLayers = layersOf(others);
	const sharing = others.some(({ layers }) => layers.at(-1)?.layer === top);
	const users = store
		.children(top)
		.filter((child) => !imageLayers.has(child))
		.map((child): LayerInfo => store.get(child))
		// Where two images end at the same layer, the label says which one a layer was made from.
		.filter(({ labels }) => !sharing || labels[BASE_IMAGE_LABEL] === image.id);
	const [user] = users;
	if (user === undefined) return;
	const more = users.length === 1 ? "" : ` and ${users.length - 1} more`;
	throw new LamellaError(
		"EREFERENCED",
		`image ${image.names[0] ?? image.id} is used by layer "${user.id}"${more}; remove that first (lamella rm ${user.id})`,
		{ layer: user.id },
	);
}

/** Top first, as far as nothing else uses them. Only what an import or commit made: that is named by its chainID. */
function removable(store: LayerStore, image: ImageInfo, used: ReadonlySet<LayerId>): readonly LayerId[] {
	const found: LayerId[] = [];
	const children = store.childrenOfEach(image.layers.map(({ layer }) => layer));
	for (const { layer, chainId } of image.layers.toReversed()) {
		if (used.has(layer) || layer !== (chainId as string)) break;
		const above = children.get(layer);
		if (above === undefined) continue;
		if (above.some((child) => child !== found.at(-1))) break;
		found.push(layer);
	}
	return found;
}
