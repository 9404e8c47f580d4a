/** Images over a layer store: finds what references mean and hands the work to the file that does it. */
import { LamellaError } from "../errors/index.ts";
import type { LayerId, LayerStore, ScratchDirectory } from "../store/index.ts";
import { openContent } from "./archive/open-content.ts";
import { commitLayer } from "./commit/commit-layer.ts";
import type {
	CommitOptions,
	ExportResult,
	ImageDetails,
	ImageExportOptions,
	ImageInfo,
	ImageInput,
	ImageOutput,
	Images,
	ImportOptions,
	RemovedImage,
} from "./contract.ts";
import { exportImage } from "./export/export-image.ts";
import { checkAborted } from "./failure.ts";
import { importPlanned } from "./import/import-image.ts";
import { namesOf, readPlan, selectImages } from "./import/read-plan.ts";
import {
	detailsOf,
	findImage,
	type ImageRecord,
	imageRecords,
	infoOf,
	listImages,
	saveImage,
} from "./records/catalog.ts";
import { parseImageName, parseReference } from "./records/reference.ts";
import { removeName, removeWhole } from "./records/remove-image.ts";

/** The images of an open layer store. */
export function openImages(store: LayerStore): Images {
	return new ImageStore(store);
}

class ImageStore implements Images {
	readonly #store: LayerStore;

	constructor(store: LayerStore) {
		this.#store = store;
	}

	async import(input: ImageInput, options: ImportOptions = {}): Promise<readonly ImageInfo[]> {
		const name = options.name === undefined ? undefined : parseImageName(options.name);
		checkAborted(options.signal, "import");
		await using scratch = new LazyScratch(this.#store);
		await using content = await openContent(input, { ...options, scratch: () => scratch.get() });
		const from = content.description;
		const images = selectImages(await readPlan(content, options.signal), options.select, from);
		if (name !== undefined && images.length > 1) {
			throw new LamellaError(
				"EINVALID",
				`${from} has ${images.length} images (${namesOf(images)}), which cannot all be named ${name}; select one`,
			);
		}
		const imported: ImageInfo[] = [];
		for (const image of images) {
			const names = name === undefined ? image.names : [name];
			imported.push(infoOf(await importPlanned(this.#store, image, names, from, options)));
		}
		return imported;
	}

	list(): readonly ImageInfo[] {
		return listImages(imageRecords(this.#store)).map(infoOf);
	}

	get(reference: string): ImageDetails {
		return detailsOf(this.#record(reference));
	}

	find(reference: string): ImageDetails | undefined {
		const record = findImage(imageRecords(this.#store), reference);
		return record === undefined ? undefined : detailsOf(record);
	}

	async tag(reference: string, name: string): Promise<ImageInfo> {
		const parsed = parseImageName(name);
		const { id } = this.#record(reference);
		return this.#store.transaction((transaction) => {
			const record = findImage(imageRecords(transaction), id);
			if (record === undefined) throw notFound(reference);
			return infoOf(saveImage(transaction, record, [parsed]));
		});
	}

	async remove(reference: string): Promise<RemovedImage> {
		const image = this.#record(reference);
		const { name } = parseReference(reference);
		const byName = name !== undefined && image.names.includes(name);
		return byName && image.names.length > 1
			? removeName(this.#store, image, name)
			: removeWhole(this.#store, image);
	}

	async commit(layer: LayerId, name: string | undefined, options: CommitOptions = {}): Promise<ImageInfo> {
		const parsed = name === undefined ? undefined : parseImageName(name);
		checkAborted(options.signal, "commit");
		await using scratch = await this.#store.scratch();
		const context = { store: this.#store, scratch: scratch.path };
		return infoOf(await commitLayer(context, layer, parsed, options));
	}

	async export(
		reference: string,
		output: ImageOutput,
		options: ImageExportOptions = {},
	): Promise<ExportResult> {
		const record = this.#record(reference);
		const { name: asked } = parseReference(reference);
		const name = options.name === undefined ? asked : parseImageName(options.name);
		const own = options.name !== undefined || (name !== undefined && record.names.includes(name));
		checkAborted(options.signal, "export");
		await using scratch = await this.#store.scratch();
		const context = { store: this.#store, scratch: scratch.path };
		// Awaited here: the scratch directory has to last until it is done.
		return await exportImage(context, record, own ? name : record.names[0], output, options);
	}

	#record(reference: string): ImageRecord {
		const record = findImage(imageRecords(this.#store), reference);
		if (record === undefined) throw notFound(reference);
		return record;
	}
}

function notFound(reference: string): LamellaError {
	return new LamellaError(
		"ENOTFOUND",
		`there is no image ${JSON.stringify(reference)}; \`lamella images\` lists them`,
	);
}

/** A scratch directory that is made when it is first wanted. */
class LazyScratch implements AsyncDisposable {
	readonly #store: LayerStore;
	#made: Promise<ScratchDirectory> | undefined;

	constructor(store: LayerStore) {
		this.#store = store;
	}

	get(): Promise<ScratchDirectory> {
		this.#made ??= this.#store.scratch();
		return this.#made;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const made = await this.#made?.catch(() => undefined);
		await made?.[Symbol.asyncDispose]();
	}
}
