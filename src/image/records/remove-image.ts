/**
 * Removing images: a name, then with the last one the image, then the layers that nothing uses any more; all in one
 * transaction with the removal of the layers' records.
 */
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import type { LayerId, LayerInfo, LayerStore, StoreTransaction } from "../../store/index.ts";
import { BASE_IMAGE_LABEL } from "../commit/commit-layer.ts";
import type { ImageName, RemovedImage } from "../contract.ts";
import { forgetImage, type ImageRecord, imageRecords, listImages, usedLayers } from "./catalog.ts";

const MAX_ATTEMPTS = 5;

/** What was looked at has changed before the transaction ran. */
class Outrun extends Error {
	override readonly name = "Outrun";
}

/** Takes one name from an image that has others as well. */
export async function removeName(
	store: LayerStore,
	image: ImageRecord,
	name: ImageName,
): Promise<RemovedImage> {
	await store.transaction((transaction) => forgetImage(transaction, image.id, [name]));
	return { names: [name], layers: [] };
}

/** Takes an image with all its names. @throws {LamellaError} `EREFERENCED`, `EBUSY` */
export async function removeWhole(store: LayerStore, image: ImageRecord): Promise<RemovedImage> {
	for (let attempt = 1; ; attempt++) {
		refuseWhereUsed(store, image);
		const layers = removable(store, image);
		const forget = (transaction: StoreTransaction): void => {
			forgetImage(transaction, image.id);
			const used = usedLayers(imageRecords(transaction));
			if (layers.some((layer) => used.has(layer))) throw new Outrun();
		};
		try {
			if (layers.length === 0) await store.transaction(forget);
			else await store.removeAll(layers, { also: forget });
			return { names: image.names, image: image.id, layers };
		} catch (error) {
			const changed =
				error instanceof Outrun || isLamellaError(error, "EREFERENCED") || isLamellaError(error, "ENOTFOUND");
			if (!changed || attempt === MAX_ATTEMPTS) {
				throw error instanceof Outrun
					? new LamellaError("EBUSY", `image ${image.names[0] ?? image.id} is being imported anew; try again`)
					: error;
			}
		}
	}
}

/** Containers are made from images: an image goes only after the layers that people made over it. */
function refuseWhereUsed(store: LayerStore, image: ImageRecord): void {
	const top = image.layers.at(-1)?.layer;
	if (top === undefined || !store.has(top)) return;
	const imageLayers = usedLayers(imageRecords(store));
	const sharing = listImages(imageRecords(store)).some(
		({ id, layers }) => id !== image.id && layers.at(-1)?.layer === top,
	);
	const users = store
		.children(top)
		.filter((child) => !imageLayers.has(child))
		.map((child): LayerInfo => store.get(child))
		// Where two images end at the same layer, the label says which one a layer was made from.
		.filter(({ labels }) => !sharing || labels[BASE_IMAGE_LABEL] === image.id);
	const [user] = users;
	if (user === undefined) return;
	const others = users.length === 1 ? "" : ` and ${users.length - 1} more`;
	throw new LamellaError(
		"EREFERENCED",
		`image ${image.names[0] ?? image.id} is used by layer "${user.id}"${others}; remove that first (lamella rm ${user.id})`,
		{ layer: user.id },
	);
}

/** Top first, as far as nothing else uses them. Only what an import or commit made: that is named by its chainID. */
function removable(store: LayerStore, image: ImageRecord): readonly LayerId[] {
	const others = listImages(imageRecords(store)).filter(({ id }) => id !== image.id);
	const used = new Set(others.flatMap(({ layers }) => layers.map(({ layer }) => layer)));
	const found: LayerId[] = [];
	for (const { layer, chainId } of image.layers.toReversed()) {
		if (used.has(layer) || layer !== (chainId as string)) break;
		if (!store.has(layer)) continue;
		if (store.children(layer).some((child) => child !== found.at(-1))) break;
		found.push(layer);
	}
	return found;
}
