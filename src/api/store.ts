/**
 * The library's front: one class that joins the layer store and the images for a program or a person.
 * It checks names, finds what a reference means, and passes work on; the rules live in src/store and src/image.
 */
import { EventEmitter } from "node:events";
import type { Readable } from "node:stream";
import { isLamellaError, LamellaError, nearest } from "../errors/index.ts";
import {
	BASE_IMAGE_LABEL,
	type CommitOptions,
	type ExportResult,
	type ImageDetails,
	type ImageExportOptions,
	type ImageInfo,
	type ImageInput,
	type ImageOutput,
	type Images,
	type ImportOptions,
	type MadeImage,
	type ProgressEvent,
	type PulledImage,
	type PullOptions,
	type PullPolicy,
	type PushOptions,
	type PushResult,
	type RemovedImage,
} from "../image/index.ts";
import type { Change, DiffResult } from "../layer/index.ts";
import { splitReference } from "../registry/reference/index.ts";
import {
	type CheckOptions,
	type CheckpointInfo,
	type CheckReport,
	type DiffOptions,
	engineOf,
	type Freezer,
	type Labels,
	type LayerId,
	type LayerInfo,
	type LayerStore,
	type StoreStatus as LayerStoreStatus,
} from "../store/index.ts";
import { type AppliedLayer, applyLayerFrom } from "./apply-layer.ts";
import { MountedLayer } from "./mounted-layer.ts";
import { parseLayerName, quoted, whyNot } from "./names.ts";
import { openRegistry, type Registry, type RegistryOptions } from "./registry/index.ts";
import { holdTemporarily, sweepTemporary, temporaryLabel } from "./temporary.ts";
import { layerTree, type TreeNode } from "./tree.ts";

/** Events of a Store: every operation's progress, whoever asked for it. */
export interface StoreEvents {
	progress: [ProgressEvent];
}

export interface CreateLayerOptions {
	/** An image (name or id) or a committed layer that the new layer starts from. Without: an empty root. */
	readonly from?: string | undefined;
	/** `view` makes a read-only layer. Default `active`: writable. */
	readonly kind?: "active" | "view" | undefined;
	readonly labels?: Labels | undefined;
	/** Goes with this process: when that is gone and did not remove it, the next `cleanup` does. */
	readonly temporary?: boolean | undefined;
	/** Whether `from`, where it is no layer, is pulled first. Default `never`. */
	readonly pull?: PullPolicy | undefined;
	/** For the pull. */
	readonly signal?: AbortSignal | undefined;
	readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
	/** SELinux label for its mounts, such as `system_u:object_r:container_file_t:s0:c1,c2`. */
	readonly mountLabel?: string | undefined;
}

export interface MountOptions {
	/** This hold goes with this process: when that is gone and did not give it back, the next `cleanup` does. */
	readonly temporary?: boolean | undefined;
	readonly signal?: AbortSignal;
}

export interface ChangesOptions {
	/** Compare with this layer or image in place of the parent; `null` for the whole tree. */
	readonly against?: string | null | undefined;
	readonly signal?: AbortSignal | undefined;
}

export interface LayerDiffOptions extends ChangesOptions {
	readonly onProgress?: ((doneBytes: number) => void) | undefined;
	/** Cut times to whole seconds, for readers without PAX times. */
	readonly wholeSeconds?: boolean | undefined;
	/**
	 * Leave out, with a warning, what a layer cannot say (that a file named `.wh.…` was changed or deleted); the
	 * parent's file then shows in its place. Without it, that is an error.
	 */
	readonly skipUnsupported?: boolean | undefined;
}

export interface CheckpointOptions {
	/** Its name, by which it is kept until it is removed. Default `<layer>@<number>`: it goes with its layer. */
	readonly as?: string | undefined;
	readonly labels?: Labels | undefined;
	/**
	 * Where files are open for writing: what makes their writers stand still (`cgroupFreezer`, or functions of your own) while
	 * what the layer changed is copied.
	 */
	readonly live?: Freezer | undefined;
	readonly signal?: AbortSignal | undefined;
}

export interface RollbackOptions {
	/** A checkpoint of the layer. Default: the last one. */
	readonly to?: string | undefined;
	/** Keep what the layer has now as a checkpoint of this name. */
	readonly keep?: string | undefined;
	readonly signal?: AbortSignal | undefined;
}

export interface ForkOptions {
	/** A checkpoint, another committed layer or an image to start from. Default: what the layer has now. */
	readonly from?: string | undefined;
	readonly labels?: Labels | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** A layer tar that is being made: read it to its end. */
export type LayerDiff = Readable & { readonly result: Promise<DiffResult> };

export interface ApplyLayerOptions {
	/** Name of the new committed layer. */
	readonly name: string;
	/** A committed layer or an image that it goes over. */
	readonly parent?: string | undefined;
	readonly labels?: Labels | undefined;
	readonly signal?: AbortSignal | undefined;
	readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

export type StoreCheckOptions = Pick<CheckOptions, "deep" | "repair" | "signal" | "onProgress">;

export interface StoreStatus extends LayerStoreStatus {
	readonly images: number;
}

/** What `inspect` found. */
export type Inspection =
	| { readonly type: "layer"; readonly layer: LayerInfo; readonly chain: readonly LayerInfo[] }
	| { readonly type: "image"; readonly image: ImageDetails };

/**
 * A layer store with its images, opened by `openStore`.
 *
 * Names of layers that people choose are `[a-zA-Z0-9][a-zA-Z0-9_.-]*`; an image's layers are named by their chainID.
 * A *reference* to an image is a name (`debian`, which means `debian:latest`, or `debian:12`), its id, or a
 * beginning of its id that no other image has. All methods reject with a `LamellaError`.
 *
 * @example
 * ```ts
 * await using store = await openStore();
 * await store.importImage("debian.tar", { name: "debian:demo" });
 * await store.create("web1", { from: "debian:demo" });
 * await using mount = await store.mount("web1");
 * await mount.writeFile("/etc/motd", "hello\n");
 * for (const { kind, path } of await store.changes("web1")) console.log(kind, path.toString());
 * ```
 */
export class Store extends EventEmitter<StoreEvents> implements AsyncDisposable {
	/** The level below: layers by their ids, with every option. */
	readonly layerStore: LayerStore;
	readonly #images: Images;

	/** What opening it found that somebody should know, in words: data set aside, lost, or missing. */
	get notices(): readonly string[] {
		return this.layerStore.notices;
	}

	/** @internal Use `openStore`. */
	constructor(layerStore: LayerStore, images: Images) {
		super();
		this.layerStore = layerStore;
		this.#images = images;
	}

	/**
	 * Imports every image of a docker-save archive, an OCI archive or an OCI layout directory; the archive may be
	 * compressed, or come as a stream. Digests are verified. Layers that are here already are skipped.
	 * @throws {LamellaError} `EARCHIVE`, `EDIGEST`, `ECOMPRESSION`, `ETAR`, `EUNSAFE`, `ENOTFOUND`, `ENOSPACE`, `EABORTED`
	 */
	importImage(input: ImageInput, options: ImportOptions = {}): Promise<readonly MadeImage[]> {
		return this.#images.import(input, { ...options, onProgress: this.#progress(options.onProgress) });
	}

	/**
	 * Brings an image from a registry: `debian`, `ghcr.io/org/app:1`, `localhost:5000/a@sha256:…`. A tag that has not moved costs one
	 * request, a digest that is here none; layers that are here are not fetched. Digests are verified.
	 * @throws {LamellaError} `EINVALID` (the reference), `ENOTFOUND`, `EUNAUTHORIZED`, `EDENIED`, `ERATELIMIT`, `ENETWORK`, `EREGISTRY`,
	 * `EPLATFORM`, `EDIGEST`, `ENOSPACE`, `EABORTED`
	 */
	pull(reference: string, options: PullOptions = {}): Promise<PulledImage> {
		return this.#images.pull(reference, { ...options, onProgress: this.#progress(options.onProgress) });
	}

	/** What registries have, without taking it. */
	registry(options: RegistryOptions = {}): Registry {
		return openRegistry(options);
	}

	/** All images, in order of their first name. */
	images(): readonly ImageInfo[] {
		return this.#images.list();
	}

	/**
	 * One image, with its config and manifest.
	 * @throws {LamellaError} `ENOTFOUND`, `EINVALID` (more than one id begins so)
	 */
	image(reference: string): ImageDetails {
		if (this.#images.find(reference) === undefined) throw this.#noImage(reference);
		return this.#images.get(reference);
	}

	/** Gives an image one more name, which another image loses if it had it. @throws ENOTFOUND, EINVALID */
	async tagImage(reference: string, name: string): Promise<ImageInfo> {
		const image = this.#images.find(reference);
		if (image === undefined) throw this.#noImage(reference);
		return this.#images.tag(image.id, name);
	}

	/**
	 * Removes a name, or an image with all its names when it is given by id; with an image's last name go the image
	 * and the layers that nothing else uses.
	 * @throws {LamellaError} `ENOTFOUND`, `EREFERENCED` (a layer is above it; the message names it)
	 */
	async removeImage(reference: string): Promise<RemovedImage> {
		return this.#images.remove(reference).catch((error: unknown) => {
			throw isLamellaError(error, "ENOTFOUND") && error.layer === undefined
				? this.#noImage(reference)
				: error;
		});
	}

	/** Looks a name up among layers first, then among images. @throws ENOTFOUND, EINVALID */
	inspect(reference: string): Inspection {
		const id = reference as LayerId;
		if (this.layerStore.has(id)) {
			return { type: "layer", layer: this.layerStore.get(id), chain: this.layerStore.chain(id) };
		}
		if (this.#images.find(reference) !== undefined) {
			return { type: "image", image: this.#images.get(reference) };
		}
		throw this.#notFound("layer or image", reference, [...this.#layerIds(), ...this.#imageNames()]);
	}

	/**
	 * Makes a writable layer (or a view) over an image or a committed layer, in constant time.
	 * @throws {LamellaError} `EINVALID` (name), `EEXISTS`, `ENOTFOUND` (from), `EKIND` (from is not committed)
	 */
	async create(name: string, options: CreateLayerOptions = {}): Promise<LayerInfo> {
		const id = parseLayerName(name);
		const { from, kind, mountLabel, temporary, pull = "never", signal, onProgress } = options;
		const isLayer = from === undefined || this.layerStore.has(from as LayerId);
		if (pull !== "never" && !isLayer) await this.pull(from, { policy: pull, signal, onProgress });
		const labels = temporary === true ? { ...options.labels, ...temporaryLabel() } : options.labels;
		const image = from === undefined ? undefined : this.#images.find(from);
		return this.layerStore.create(id, {
			parent: from === undefined ? undefined : this.#committed(from),
			kind,
			// Commit goes on from this image's config, even where another ends at the same layer.
			labels: image === undefined ? labels : { ...labels, [BASE_IMAGE_LABEL]: image.id },
			mountLabel,
		});
	}

	/**
	 * Mounts a layer and returns where, with methods for files in it. Mounts are counted: the second gives the same
	 * path, the last `unmount` (or end of an `await using`) unmounts. They outlive the process unless given back.
	 * @throws {LamellaError} `ENOTFOUND`, `EPERMISSION`, `ESYSTEM`
	 */
	async mount(name: string, { temporary, ...options }: MountOptions = {}): Promise<MountedLayer> {
		const id = this.#existing(name);
		const mount = await this.layerStore.mount(id, options);
		return new MountedLayer(
			name,
			temporary === true ? await holdTemporarily(this.layerStore, id, mount) : mount,
		);
	}

	/** Gives back one hold of a layer's mount, or all with `force`. Harmless where it is not mounted. @throws ENOTFOUND */
	async unmount(name: string, options: { readonly force?: boolean } = {}): Promise<void> {
		return this.layerStore.unmount(this.#existing(name), options);
	}

	/**
	 * What a layer changed against its parent, in order of path, as `docker diff` says it. Works while it is mounted.
	 * @throws {LamellaError} `ENOTFOUND`, `EABORTED`
	 */
	async changes(name: string, options: ChangesOptions = {}): Promise<readonly Change[]> {
		return this.layerStore.changes(this.#existing(name), this.#diffOptions(options));
	}

	/**
	 * A layer's changes as an OCI layer tar, the same bytes for the same changes. The stream fails where the diff does.
	 * Destroying it stops the work. Its `result`, once the tar has been read to its end, says what was left out.
	 * @throws {LamellaError} `ENOTFOUND`; by the stream `ENOTSUPPORTED` for what a layer cannot say, see `skipUnsupported`
	 */
	diff(name: string, options: LayerDiffOptions = {}): LayerDiff {
		const { stream, result } = this.layerStore.diff(this.#existing(name), {
			...this.#diffOptions(options),
			onProgress: options.onProgress,
			wholeSeconds: options.wholeSeconds,
			skipUnsupported: options.skipUnsupported,
		});
		// The reader learns of a failure from its stream; the promise would otherwise report it a second time.
		result.catch((error: Error) => stream.destroy(error));
		return Object.assign(stream, { result });
	}

	/**
	 * Makes an image of a writable layer and its parents; the layer stays as it is and may be mounted.
	 * `reference` is the image's name; without one it has only its id.
	 * @throws {LamellaError} `ENOTFOUND`, `EKIND` (not a writable layer), `EINVALID`, `EABORTED`
	 */
	async commit(name: string, reference?: string, options: CommitOptions = {}): Promise<MadeImage> {
		return this.#images.commit(this.#existing(name), reference, {
			...options,
			onProgress: this.#progress(options.onProgress),
		});
	}

	/**
	 * Keeps what a writable layer has now as a committed layer, its checkpoint, and the layer goes on over it, mounted or not, at
	 * the same path. Nothing is copied, whatever the size. The kernel makes sure that nobody writes meanwhile: who has the
	 * old mount open, or as root or working directory, goes on reading it and can write to it no more.
	 * @throws {LamellaError} `ENOTFOUND`, `EKIND` (not writable), `EBUSY` (files are open for writing; the message names who has
	 * them open), `EEXISTS`, `EINVALID` (the name), `EREFERENCED` (an engine's layer)
	 */
	checkpoint(name: string, options: CheckpointOptions = {}): Promise<LayerInfo> {
		const { as, labels, live, signal } = options;
		return this.layerStore.checkpoint(this.#ours(name), { as: asName(as), labels, live, signal });
	}

	/**
	 * Makes a writable layer again what it was at one of its checkpoints, at the same path. Later checkpoints that have no name
	 * of their own and no forks go.
	 * @throws {LamellaError} `ENOTFOUND` (also: no such checkpoint), `EKIND`, `EBUSY` (files are open for writing), `EEXISTS`
	 */
	rollback(name: string, { to, keep, signal }: RollbackOptions = {}): Promise<LayerInfo> {
		const id = this.#ours(name);
		const target = to === undefined ? undefined : this.#existing(to);
		return this.layerStore.rollback(id, { to: target, keep: asName(keep), signal });
	}

	/**
	 * Makes new writable layers that start from where a layer is now, or from `from`. All of them are there afterwards, or none.
	 * @throws {LamellaError} `ENOTFOUND`, `EKIND`, `EBUSY` (files are open for writing), `EEXISTS`, `EINVALID` (a name)
	 */
	fork(
		name: string,
		newNames: readonly string[],
		{ from, labels, signal }: ForkOptions = {},
	): Promise<readonly LayerInfo[]> {
		const id = from === undefined ? this.#ours(name) : this.#existing(name);
		const image = this.layerStore.get(id).labels[BASE_IMAGE_LABEL];
		return this.layerStore.fork(id, newNames.map(parseLayerName), {
			from: from === undefined ? undefined : this.#committed(from),
			// A commit of a fork goes on from the same image's config.
			labels: image === undefined ? labels : { ...labels, [BASE_IMAGE_LABEL]: image },
			signal,
		});
	}

	/** The checkpoints of a layer, newest first. @throws ENOTFOUND */
	history(name: string): readonly CheckpointInfo[] {
		return this.layerStore.history(this.#existing(name));
	}

	/**
	 * Makes one checkpoint of all that a layer has, under the last one's name; those that have a name of their own or forks stay
	 * beside it.
	 * @throws {LamellaError} `ENOTFOUND` (also: no checkpoint), `EKIND`, `EBUSY` (files are open for writing)
	 */
	squash(name: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<LayerInfo> {
		return this.layerStore.squash(this.#ours(name), options);
	}

	/**
	 * Sends an image to a registry, to where its name says or `to`: only layers that are not there. Where its manifest's blobs are
	 * there, or can be made again byte for byte, it keeps its digest. One result a tag.
	 * @throws {LamellaError} `ENOTFOUND`, `EINVALID` (where to), `EUNAUTHORIZED`, `EDENIED`, `ERATELIMIT`, `ENETWORK`, `EREGISTRY`,
	 * `ENOSPACE`, `EABORTED`
	 */
	push(reference: string, options: PushOptions = {}): Promise<readonly PushResult[]> {
		return this.#images.push(reference, { ...options, onProgress: this.#progress(options.onProgress) });
	}

	/**
	 * Writes an image as an OCI archive, an OCI layout directory or an archive for `docker load`. A path appears whole
	 * or not at all; the same image and options give the same bytes.
	 * @throws {LamellaError} `ENOTFOUND`, `EEXISTS`, `EINVALID`, `ENOSPACE`, `EABORTED`
	 */
	exportImage(
		reference: string,
		output: ImageOutput,
		options: ImageExportOptions = {},
	): Promise<ExportResult> {
		return this.#images.export(reference, output, {
			...options,
			onProgress: this.#progress(options.onProgress),
		});
	}

	/**
	 * Makes a committed layer of a layer tar (plain, gzip or zstd) from a file or a stream.
	 * @throws {LamellaError} `EINVALID`, `EEXISTS`, `ENOTFOUND` (parent, file), `EKIND`, `ETAR`, `EUNSAFE`, `ECOMPRESSION`, `EABORTED`
	 */
	async applyLayer(input: string | Readable, options: ApplyLayerOptions): Promise<AppliedLayer> {
		const id = parseLayerName(options.name);
		const parent = options.parent === undefined ? undefined : this.#committed(options.parent);
		const onProgress = this.#progress(options.onProgress);
		return applyLayerFrom(this.layerStore, id, input, { ...options, parent, onProgress });
	}

	/**
	 * Removes a layer, and with it its checkpoints that have no name of their own and no forks. `force` unmounts it first, and takes it from the engine (containerd, dockerd) that keeps it here.
	 * @throws {LamellaError} `ENOTFOUND`, `EREFERENCED` (layers or images are above; an engine's), `EBUSY` (mounted)
	 */
	async remove(name: string, options: { readonly force?: boolean } = {}): Promise<void> {
		const id = this.#existing(name);
		// Only committed layers are parts of images.
		const images = this.layerStore.get(id).kind === "committed" ? this.#images.list() : [];
		const user = images.find((image) => image.layers.some(({ layer }) => layer === id));
		if (user !== undefined) {
			throw new LamellaError(
				"EREFERENCED",
				`layer "${name}" belongs to image ${user.names[0] ?? user.id}; remove the image first`,
				{ layer: name },
			);
		}
		const engine = options.force === true ? undefined : engineOf(this.layerStore.get(id));
		if (engine !== undefined) {
			throw new LamellaError(
				"EREFERENCED",
				`layer "${name}" belongs to ${engine}; remove it there, or with force, after which ${engine} has lost it`,
				{ layer: name },
			);
		}
		return this.layerStore.remove(id, options);
	}

	/** One layer. @throws ENOTFOUND */
	layer(name: string): LayerInfo {
		return this.layerStore.get(this.#existing(name));
	}

	/** All layers, in order of id. */
	layers(): readonly LayerInfo[] {
		return [...this.layerStore.list()];
	}

	/** Layers under their parents, with the images that end at each. */
	tree(): readonly TreeNode[] {
		return layerTree(this.layers(), this.images());
	}

	/** What the store is and how much it holds. */
	status(): StoreStatus {
		return { ...this.layerStore.status(), images: this.#images.list().length };
	}

	/**
	 * Looks whether what is on disk is what was recorded: of the whole store, or of the layers and images that are named. Other
	 * processes may go on meanwhile. With `deep`, all that committed layers hold is read. With `repair`, what can be put right is.
	 * @throws {LamellaError} `ENOTFOUND`, `EABORTED`
	 */
	check(names: readonly string[] = [], options: StoreCheckOptions = {}): Promise<CheckReport> {
		const layers = names.length === 0 ? undefined : new Set(names.flatMap((name) => this.#layersOf(name)));
		return this.layerStore.check({
			...options,
			layers: layers && [...layers],
			also: () => this.#images.check(),
			restores: (record) => this.#images.restores(record),
		});
	}

	#layersOf(name: string): readonly LayerId[] {
		const found = this.inspect(name);
		return found.type === "layer" ? [found.layer.id] : found.image.layers.map(({ layer }) => layer);
	}

	/** Deletes what stopped processes left behind. Opening a store does so too, but for what they made as `temporary`. */
	async cleanup(): Promise<void> {
		await sweepTemporary(this.layerStore);
		await this.layerStore.cleanup();
	}

	/** Waits for background work and lets go of the store; mounts stay. Twice is harmless. */
	close(): Promise<void> {
		return this.layerStore.close();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	/** The layer that an image reference or the name of a committed layer means. */
	#committed(reference: string): LayerId {
		const image = this.#images.find(reference);
		if (image !== undefined) {
			const top = image.layers.at(-1);
			if (top === undefined) {
				throw new LamellaError(
					"EINVALID",
					`image ${reference} has no layers; create without "from" for an empty root`,
				);
			}
			return top.layer;
		}
		const id = reference as LayerId;
		if (this.layerStore.has(id)) return id;
		throw this.#notFound("image or committed layer", reference, [
			...this.#imageNames(),
			...this.#layerIds((layer) => layer.kind === "committed"),
		]);
	}

	#existing(name: string): LayerId {
		if (this.layerStore.has(name as LayerId)) return name as LayerId;
		throw this.#notFound("layer", name, this.#layerIds());
	}

	/** A layer whose mounts are made here: an engine makes those of its layers itself. @throws ENOTFOUND, EREFERENCED */
	#ours(name: string): LayerId {
		const id = this.#existing(name);
		const layer = this.layerStore.get(id);
		const engine = layer.kind === "committed" ? undefined : engineOf(layer);
		if (engine === undefined) return id;
		throw new LamellaError(
			"EREFERENCED",
			`layer "${name}" belongs to ${engine}, which mounts it and expects its directory to stay; fork what it stands on, by \`from\``,
			{ layer: name },
		);
	}

	#diffOptions(options: ChangesOptions): DiffOptions {
		const { against, signal } = options;
		if (against === undefined || against === null) return { against, signal };
		const id = against as LayerId;
		return { against: this.layerStore.has(id) ? id : this.#committed(against), signal };
	}

	#progress(own: ((event: ProgressEvent) => void) | undefined): (event: ProgressEvent) => void {
		return (event) => {
			own?.(event);
			this.emit("progress", event);
		};
	}

	#layerIds(filter: (layer: LayerInfo) => boolean = () => true): string[] {
		return this.layers()
			.filter(filter)
			.map(({ id }) => id);
	}

	#imageNames(): string[] {
		return this.#images.list().flatMap(({ names }) => names);
	}

	#noImage(reference: string): LamellaError {
		return this.#notFound("image", reference, this.#imageNames());
	}

	#notFound(what: string, name: string, candidates: readonly string[]): LamellaError {
		const meant = nearest(name, candidates);
		const hint = [
			...(what.includes("image") && mayBePulled(name)
				? [`\`lamella pull ${name}\` brings it from its registry`]
				: []),
			meant === undefined
				? "`lamella images` and `lamella layers` list what there is"
				: `did you mean ${JSON.stringify(meant)}?`,
		].join("; ");
		return new LamellaError("ENOTFOUND", `there is no ${what} ${quoted(name)}${whyNot(name)}; ${hint}`, {
			layer: name,
		});
	}
}

/** Whether it is a reference, and no id. */
function mayBePulled(name: string): boolean {
	return splitReference(name) !== undefined && !name.startsWith("sha256:");
}

function asName(name: string | undefined): LayerId | undefined {
	return name === undefined ? undefined : parseLayerName(name);
}
