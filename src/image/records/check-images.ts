/** The images' part of a check: their layers are there, and each name leads to the image that has it. */
import { isLamellaError } from "../../errors/index.ts";
import type { Found, LayerId, LayerStore, RestorableRecord } from "../../store/index.ts";
import type { ImageInfo, ImageName } from "../contract.ts";
import { IMAGES, NAMES } from "./catalog.ts";
import { readRecord } from "./image-record.ts";

export function* checkImages(store: LayerStore): Generator<Found> {
	const images = new Map<string, ImageInfo>();
	for (const [key, stored] of store.records(IMAGES).list()) {
		const image = readable(key, stored);
		if (typeof image === "string") {
			yield { kind: "image-damaged", message: image };
			continue;
		}
		images.set(key, image);
		const missing = image.layers.find(({ layer }) => !store.has(layer as LayerId));
		if (missing === undefined) continue;
		const shown = image.names[0] ?? image.id;
		yield {
			kind: "image-damaged",
			message: `image ${shown} is of the layer "${missing.layer}", which the store does not have`,
		};
	}
	yield* checkNames(store, images);
}

/** Whether the file of an image's record may be recorded again: every layer that it names is there. */
export function restoresImage(
	store: Pick<LayerStore, "has">,
	{ namespace, key, value }: RestorableRecord,
): boolean {
	if (namespace !== IMAGES) return false;
	const image = readable(key, value);
	return typeof image !== "string" && image.layers.every(({ layer }) => store.has(layer as LayerId));
}

/** The image, or why its record cannot be read. */
function readable(key: string, stored: unknown): ImageInfo | string {
	try {
		return readRecord(key, stored);
	} catch (error) {
		if (isLamellaError(error)) return error.message;
		throw error;
	}
}

function* checkNames(store: LayerStore, images: ReadonlyMap<string, ImageInfo>): Generator<Found> {
	const owners = new Map(store.records<string>(NAMES).list());
	const hasName = (key: string | undefined, name: string): boolean =>
		images.get(key ?? "")?.names.includes(name as ImageName) === true;
	for (const [key, { id, names }] of images) {
		for (const name of names) {
			const owner = owners.get(name);
			// Where two images claim a name, it belongs to the one that it leads to.
			if (owner === key || hasName(owner, name)) continue;
			owners.set(name, key);
			yield nameWrong(`the name ${name} of image ${id} leads to ${owner ?? "no image"}`, () =>
				store.records<string>(NAMES).put(name, key),
			);
		}
	}
	for (const [name, key] of owners) {
		if (hasName(key, name)) continue;
		yield nameWrong(`the name ${name} leads to image ${key}, which does not have it`, () =>
			store.records<string>(NAMES).remove(name),
		);
	}
}

function nameWrong(message: string, repair: () => Promise<void>): Found {
	return { kind: "image-name-wrong", message, repair };
}
