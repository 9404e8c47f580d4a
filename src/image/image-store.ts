/**
 * Images over a layer store: finds what references mean and hands the work to the file that does it, which is loaded
 * then: listing images waits for none of them.
 */
import { LamellaError } from "../errors/index.ts";
import type { Digest } from "../layer/index.ts";
import { formatReference, parseReference, splitReference } from "../registry/reference/index.ts";
import type { Found, LayerId, LayerStore, RestorableRecord, ScratchDirectory } from "../store/index.ts";
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
	MadeImage,
	PulledImage,
	PullOptions,
	PushOptions,
	PushResult,
	RemovedImage,
} from "./contract.ts";
import { parseJson } from "./documents/json.ts";
import { asArchiveError, checkAborted } from "./failure.ts";
import { findImage, imageOf, listImages, noSuchImage, saveImage } from "./records/catalog.ts";
import { checkImages, restoresImage } from "./records/check-images.ts";
import { configOf, manifestOf } from "./records/documents.ts";
import { parseImageName, parseImageReference } from "./records/reference.ts";
import { registryDigest } from "./records/repo-digests.ts";

/** The images of an open layer store. */
export function openImages(store: LayerStore): Images {
	return new ImageStore(store);
}

class ImageStore implements Images {
	readonly #store: LayerStore;

	constructor(store: LayerStore) {
		this.#store = store;
	}

	async import(input: ImageInput, options: ImportOptions = {}): Promise<readonly MadeImage[]> {
		const name = options.name === undefined ? undefined : parseImageName(options.name);
		checkAborted(options.signal, "import");
		// The reader below handles a failure; one that comes earlier must not end the process.
		if (typeof input !== "string") input.on("error", () => {});
		const { openContent } = await import("./archive/open-content.ts");
		const { namesOf, readPlan } = await import("./import/read-plan.ts");
		const { importPlanned } = await import("./import/import-image.ts");
		await using scratch = new LazyScratch(this.#store);
		await using content = await openContent(input, { ...options, scratch: () => scratch.get() });
		const from = content.description;
		return await failingAs(`import ${from}`, async () => {
			const images = await readPlan(content, options);
			if (name !== undefined && images.length > 1) {
				throw new LamellaError(
					"EINVALID",
					`${from} has ${images.length} images (${namesOf(images)}), which cannot all be named ${name}; select one`,
				);
			}
			const imported: MadeImage[] = [];
			for (const image of images) {
				const names = name === undefined ? image.names : [name];
				imported.push(
					await importPlanned(this.#store, image, names, { operation: "import", from, ...options }),
				);
			}
			return imported;
		});
	}

	async pull(reference: string, options: PullOptions = {}): Promise<PulledImage> {
		const here = options.policy === "missing" ? findImage(this.#store, reference) : undefined;
		if (here !== undefined) return asPulled(here, reference);
		const parsed = parseReference(reference);
		checkAborted(options.signal, "pull");
		const { openRegistryClient } = await import("../registry/index.ts");
		const { pullImage } = await import("./pull/pull-image.ts");
		await using client = openRegistryClient(parsed.registry, options);
		return await failingAs(`pull ${formatReference(parsed)}`, () =>
			pullImage(this.#store, client, parsed, options),
		);
	}

	check(): Iterable<Found> {
		return checkImages(this.#store);
	}

	restores(record: RestorableRecord): boolean {
		return restoresImage(this.#store, record);
	}

	list(): readonly ImageInfo[] {
		return listImages(this.#store);
	}

	find(reference: string): ImageInfo | undefined {
		return findImage(this.#store, reference);
	}

	get(reference: string): ImageDetails {
		const image = this.#existing(reference);
		const configBytes = configOf(this.#store, image);
		return {
			...image,
			configBytes,
			config: parseJson(configBytes, `the config of ${image.id}`),
			manifestBytes: manifestOf(this.#store, image),
		};
	}

	async tag(reference: string, name: string): Promise<ImageInfo> {
		const parsed = parseImageName(name);
		const { id } = this.#existing(reference);
		return await failingAs(`tag ${reference} as ${parsed}`, () =>
			this.#store.transaction((transaction) => {
				const image = imageOf(transaction, id);
				if (image === undefined) throw noSuchImage(reference);
				return saveImage(transaction, image, [parsed]);
			}),
		);
	}

	async remove(reference: string): Promise<RemovedImage> {
		const { removeImage } = await import("./records/remove-image.ts");
		return await failingAs(`remove image ${reference}`, () => removeImage(this.#store, reference));
	}

	async commit(layer: LayerId, name: string | undefined, options: CommitOptions = {}): Promise<MadeImage> {
		const parsed = name === undefined ? undefined : parseImageName(name);
		checkAborted(options.signal, "commit");
		const { commitLayer } = await import("./commit/commit-layer.ts");
		return await failingAs(`commit layer "${layer}"`, () => commitLayer(this.#store, layer, parsed, options));
	}

	async export(
		reference: string,
		output: ImageOutput,
		options: ImageExportOptions = {},
	): Promise<ExportResult> {
		const image = this.#existing(reference);
		const { name: asked } = parseImageReference(reference);
		const name = options.name === undefined ? asked : parseImageName(options.name);
		const own = options.name !== undefined || (name !== undefined && image.names.includes(name));
		checkAborted(options.signal, "export");
		const { exportImage } = await import("./export/export-image.ts");
		const exported = own ? name : image.names[0];
		const to = typeof output === "string" ? ` to ${output}` : "";
		return await failingAs(`export ${exported ?? image.id}${to}`, () =>
			exportImage(this.#store, image, exported, output, options),
		);
	}

	async push(reference: string, options: PushOptions = {}): Promise<readonly PushResult[]> {
		checkAborted(options.signal, "push");
		const { pushesOf } = await import("./push/pushes.ts");
		const pushes = pushesOf(this.#store, reference, options);
		const { openRegistryClient } = await import("../registry/index.ts");
		const { pushImage } = await import("./push/push-image.ts");
		const results: PushResult[] = [];
		// All go to one repository.
		await using client = openRegistryClient(pushes[0].to.registry, options);
		for (const { image, to } of pushes) {
			const doing = `push ${reference} to ${formatReference(to)}`;
			results.push(await failingAs(doing, () => pushImage(this.#store, image, to, client, options)));
		}
		return results;
	}

	#existing(reference: string): ImageInfo {
		const image = findImage(this.#store, reference);
		if (image === undefined) throw noSuchImage(reference);
		return image;
	}
}

/** An image that was here: with the digest that its registry has it under. */
function asPulled(image: ImageInfo, reference: string): PulledImage {
	const { repository, digest: asked } = splitReference(reference) ?? {};
	const digest = asked ?? registryDigest(image, repository) ?? image.id;
	return { ...image, digest: digest as Digest, isNew: false, warnings: [] };
}

/** Failures of the system in `work` become Lamella's, saying what was being done. */
async function failingAs<R>(doing: string, work: () => Promise<R>): Promise<R> {
	try {
		return await work();
	} catch (error) {
		throw asArchiveError(error, doing);
	}
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
