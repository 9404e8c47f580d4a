/**
 * The overlay driver: an active layer's `diff/` is overlayfs's upper, the chain's `diff/` and `root/` are its
 * lowers, and the image of the packed layers at its bottom. A commit only removes what a writable layer needs.
 *
 * Layers whose tars are applied become trees, or, by the name `packed`, packed layers where all below them are, too. Either
 * driver mounts what the other one has made.
 */
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import type { RunOptions } from "../../jobs/index.ts";
import type { KeptTar, OverlayXattrPrefix, Usage } from "../../layer/index.ts";
import { mountBind } from "../bind.ts";
import type {
	Checked,
	ContentCheckOptions,
	CopyOptions,
	Driver,
	DriverName,
	Flattening,
	HeldSubject,
	LayerJobRunner,
	LayerPaths,
	LayerPlace,
	LayerProblem,
	MountDescription,
	MountRequest,
	PreparedApply,
	PrepareOptions,
	ReleaseOptions,
	Repair,
	Sealing,
	UnmountOptions,
} from "../driver.ts";
import { mountFailure } from "../failure.ts";
import { foldedLayers, isPacked, type LayerForm, PACKED, TREE, TREE_WITH_ROOT } from "../form.ts";
import {
	ChainImages,
	type ChainImagesOptions,
	forgetImage,
	type HeldImage,
	packedChainOf,
} from "../packed/chain-image.ts";
import { ownTar } from "../packed/own-tar.ts";
import {
	checkPackedLayer,
	copyPacked,
	lookAtPacked,
	packedFilesOf,
	packedSubject,
	packedTarget,
	packedUsage,
	placePacked,
	problemsOfPacked,
} from "../packed/packed-layer.ts";
import {
	diffOf,
	emptyOf,
	foldOf,
	imageMountOf,
	inheritTreeRoot,
	lowersFrom,
	lowersOf,
	makeTreeRoot,
	mapTreeRoot,
	rootOf,
	workOf,
} from "../place.ts";
import { isMountPoint, unmountTree } from "../unmount.ts";
import { OverlayFlattening } from "./flattening.ts";
import {
	classicalOptions,
	type MountApi,
	mountOverlay,
	type OverlayMount,
	swapOverlay,
} from "./mount-overlay.ts";
import { OverlaySealing, writableSource } from "./sealing.ts";

export interface OverlayFacts {
	readonly api: MountApi;
	/** `index=off`, … */
	readonly options: readonly string[];
	readonly xattrPrefix: OverlayXattrPrefix;
	readonly status: () => readonly (readonly [string, string])[];
	/** Whether what is applied becomes packed layers. */
	readonly packs: boolean;
}

/** Before the name of a layer whose mount was described for somebody else to make. */
const DESCRIBED = "described-";

/** What a layer's mount is made of. */
type Plan =
	| { readonly type: "bind"; readonly source: string; readonly readOnly: boolean }
	| ({ readonly type: "overlay" } & OverlayMount);

export class OverlayDriver implements Driver {
	readonly name: DriverName;
	readonly form: LayerForm = TREE;
	readonly appliesSideBySide = true;
	readonly flattening: Flattening;
	readonly sealing: Sealing;
	readonly repair: Repair = {
		look: (layer) => {
			if (layer.form === PACKED) lookAtPacked(layer);
		},
		forget: (layers) => {
			for (const layer of layers) if (layer.form === PACKED) forgetImage(layer);
		},
		place: (staged, layer, moved) => {
			if (layer.form === PACKED) placePacked(staged, layer, moved);
		},
	};
	readonly #facts: OverlayFacts;
	readonly #jobs: LayerJobRunner;
	readonly #images: ChainImages;

	constructor(facts: OverlayFacts, options: ChainImagesOptions) {
		const { jobs } = options;
		this.name = facts.packs ? "packed" : "overlay";
		this.#facts = facts;
		this.#jobs = jobs;
		this.#images = new ChainImages(options);
		this.flattening = new OverlayFlattening(facts.xattrPrefix, jobs, this.#images);
		this.sealing = new OverlaySealing(jobs, (request) => this.#swap(request));
	}

	status(): readonly (readonly [string, string])[] {
		return this.#facts.status();
	}

	mergeDepth(chain: readonly LayerPlace[]): number {
		return lowersOf(chain).length;
	}

	async prepare(
		staged: string,
		chain: readonly LayerPlace[],
		{ kind, idMaps }: PrepareOptions,
	): Promise<void> {
		const layer = { directory: staged };
		const work = kind === "active" ? mkdir(workOf(layer), { mode: 0o700 }) : undefined;
		await Promise.all([makeTreeRoot(diffOf(layer)), work]);
		await using image = await this.#holdTop(chain);
		inheritFromChain(layer, chain, image?.path);
		mapTreeRoot(diffOf(layer), idMaps);
	}

	async prepareApply(staged: string, chain: readonly LayerPlace[]): Promise<PreparedApply> {
		if (this.#facts.packs && chain.every(({ form }) => form === PACKED)) return packedTarget(staged, chain);
		const layer = { directory: staged };
		await makeTreeRoot(diffOf(layer));
		const image = await this.#images.holdBelow(chain);
		inheritFromChain(layer, chain, image?.path);
		return {
			form: TREE,
			target: {
				form: "overlay",
				directory: diffOf(layer),
				lowers: lowersOf(chain, image?.path),
				xattrPrefix: this.#facts.xattrPrefix,
				shareInodes: true,
			},
			[Symbol.asyncDispose]: async () => await image?.[Symbol.asyncDispose](),
		};
	}

	async prime(layer: LayerPlace, chain: readonly LayerPlace[], options?: RunOptions): Promise<void> {
		const packed = layer.form === PACKED ? packedChainOf([layer, ...chain]) : undefined;
		if (packed !== undefined) await this.#images.prime(packed, options);
	}

	async release(
		layer: LayerPlace,
		chain: Iterable<LayerPlace>,
		{ described = false }: ReleaseOptions = {},
	): Promise<void> {
		const top = isPacked(layer.form) ? layer : Iterator.from(chain).find(({ form }) => isPacked(form));
		if (top === undefined) return;
		const user = path.basename(layer.mountPoint);
		await this.#images.release(top, described ? [user, DESCRIBED + user] : [user]);
	}

	/** The image of the uppermost layer, where that is a packed one. */
	async #holdTop(chain: readonly LayerPlace[]): Promise<HeldImage | undefined> {
		return chain[0]?.form === PACKED ? await this.#images.holdBelow(chain) : undefined;
	}

	/** Mounts the image that the layer's mount stands on. */
	async #attachImage({ layer, chain }: MountRequest, prefix: string): Promise<void> {
		const packed = packedChainOf([layer, ...chain]);
		if (packed !== undefined) await this.#images.attach(packed, prefix + path.basename(layer.mountPoint));
	}

	#plan({ layer, chain, kind, mountLabel: label }: MountRequest, { described = false } = {}): Plan {
		const mountLabel = label === "" ? undefined : label;
		const { options } = this.#facts;
		const below = lowersOf(chain);
		// A bind mount takes no label; overlayfs does, and merges two directories at least.
		const filler = mountLabel === undefined ? [] : [emptyOf(layer)];
		if (kind === "active") {
			// What is bound cannot be sealed, so the driver's own mounts never are.
			if (below.length === 0) below.push(...(described ? filler : [emptyOf(layer)]));
			if (below.length === 0) return { type: "bind", source: diffOf(layer), readOnly: false };
			const upper = { directory: diffOf(layer), work: workOf(layer) };
			return { type: "overlay", source: writableSource(layer), lowers: below, upper, options, mountLabel };
		}
		// A view has nothing of its own; a committed layer is seen with its own diff on top.
		const lowers = kind === "view" && below.length > 0 ? below : lowersFrom(layer, chain);
		if (lowers.length === 1) lowers.push(...filler);
		const [only = diffOf(layer), ...more] = lowers;
		if (more.length === 0) return { type: "bind", source: only, readOnly: true };
		return { type: "overlay", lowers, options, mountLabel };
	}

	async describeMount(request: MountRequest): Promise<MountDescription> {
		await this.#attachImage(request, DESCRIBED);
		const plan = this.#plan(request, { described: true });
		makeFiller(plan, request.layer);
		if (plan.type === "bind") {
			return { type: "bind", source: plan.source, options: [plan.readOnly ? "ro" : "rw", "rbind"] };
		}
		return { type: "overlay", source: "overlay", options: classicalOptions(plan) };
	}

	async mount(request: MountRequest): Promise<string> {
		const { layer } = request;
		const merged = layer.mountPoint;
		if (isMountPoint(merged)) return merged;
		await this.#attachImage(request, "");
		try {
			mkdirSync(merged, { recursive: true, mode: 0o700 });
			const plan = this.#plan(request);
			makeFiller(plan, layer);
			if (plan.type === "bind") {
				mountBind(plan.source, merged, plan.readOnly);
			} else {
				if (plan.upper !== undefined) mkdirSync(plan.upper.work, { recursive: true, mode: 0o700 });
				mountOverlay(this.#facts.api, plan, merged);
			}
		} catch (error) {
			await this.release(layer, request.chain);
			throw mountFailure(error, merged);
		}
		return merged;
	}

	async #swap(request: MountRequest): Promise<void> {
		const { layer } = request;
		await this.#attachImage(request, "");
		const plan = this.#plan(request);
		try {
			makeFiller(plan, layer);
			if (plan.type === "overlay") swapOverlay(this.#facts.api, plan, layer.mountPoint);
		} catch (error) {
			throw mountFailure(error, layer.mountPoint);
		}
	}

	unmount(layer: LayerPlace, options: UnmountOptions = {}): void {
		unmountTree(layer.mountPoint, options);
	}

	isMounted(layer: LayerPlace): boolean {
		return isMountPoint(layer.mountPoint);
	}

	paths(layer: LayerPlace, chain: readonly LayerPlace[]): LayerPaths {
		const image = layer.form === PACKED ? imageMountOf(layer) : undefined;
		const root = layer.form === TREE_WITH_ROOT ? rootOf(layer) : image;
		const work = existsSync(workOf(layer)) ? workOf(layer) : undefined;
		const upper = layer.form === PACKED ? undefined : diffOf(layer);
		return { root, upper, lowers: lowersOf(chain), work, merged: layer.mountPoint };
	}

	async isUntouched(layer: LayerPlace, chain: readonly LayerPlace[]): Promise<boolean | undefined> {
		if (layer.form === PACKED) return undefined;
		await using image = await this.#holdTop(chain);
		const [below] = lowersOf(chain, image?.path);
		if (below === undefined || readdirSync(diffOf(layer)).length > 0) return false;
		const [mine, theirs] = [statSync(diffOf(layer)), statSync(below)];
		return mine.mode === theirs.mode && mine.uid === theirs.uid && mine.gid === theirs.gid;
	}

	async hold(layer: LayerPlace, chain: readonly LayerPlace[]): Promise<HeldSubject> {
		if (layer.form === PACKED) {
			ownTar(layer);
			return { subject: packedSubject(layer, chain), [Symbol.asyncDispose]: () => Promise.resolve() };
		}
		const image = await this.#images.holdBelow(chain);
		const { xattrPrefix } = this.#facts;
		const lowers = lowersOf(chain, image?.path);
		return {
			subject: { form: "upper", upper: diffOf(layer), lowers, xattrPrefix },
			[Symbol.asyncDispose]: async () => await image?.[Symbol.asyncDispose](),
		};
	}

	look(layer: LayerPlace): readonly LayerProblem[] {
		if (layer.form === PACKED) return problemsOfPacked(layer);
		const parts: LayerProblem[] = [];
		const need = (kind: LayerProblem["kind"], path: string): void => {
			if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
			parts.push({ kind, path, message: `${path} is missing, or not a directory` });
		};
		need("content-missing", diffOf(layer));
		if (layer.form === TREE_WITH_ROOT) need("derived-missing", rootOf(layer));
		if (foldedLayers(layer.form) !== undefined) need("derived-missing", foldOf(layer));
		for (const path of this.flattening.stale(layer)) {
			parts.push({ kind: "derived-left", path, message: `${path} was made, and never recorded` });
		}
		return parts;
	}

	async check(
		layer: LayerPlace,
		chain: readonly LayerPlace[],
		{ sealedAtNs, ...options }: ContentCheckOptions,
	): Promise<Checked> {
		if (layer.form === PACKED) return await checkPackedLayer(this.#jobs, layer, chain, options);
		const { xattrPrefix } = this.#facts;
		const root =
			layer.form === TREE_WITH_ROOT
				? { directory: rootOf(layer), lowers: [diffOf(layer), ...lowersOf(chain)] }
				: undefined;
		const request = { directory: diffOf(layer), xattrPrefix, sealedAtNs, root };
		return { isVerified: false, problems: await this.#jobs.run("checkTree", request, options) };
	}

	withoutDerived(form: LayerForm): LayerForm {
		return form === PACKED ? PACKED : TREE;
	}

	dropDerived(layer: LayerPlace, discard: (directory: string) => void): void {
		if (layer.form === PACKED) forgetImage(layer);
		else for (const tree of [rootOf(layer), foldOf(layer)]) if (existsSync(tree)) discard(tree);
	}

	keptTar(layer: LayerPlace): KeptTar | undefined {
		return layer.form === PACKED ? ownTar(layer) : undefined;
	}

	async usage(layer: LayerPlace, options?: RunOptions): Promise<Usage> {
		if (layer.form === PACKED) return packedUsage(layer);
		return await this.#jobs.run("usage", { directories: [diffOf(layer)] }, options);
	}

	async seal(layer: LayerPlace, also: readonly string[], options?: RunOptions): Promise<void> {
		if (layer.form === PACKED) {
			await this.#jobs.run("flush", { trees: [], paths: [...packedFilesOf(layer), ...also] }, options);
			return;
		}
		const trees = [diffOf(layer)];
		if (layer.form === TREE_WITH_ROOT) trees.push(rootOf(layer));
		if (foldedLayers(layer.form) !== undefined) trees.push(foldOf(layer));
		await this.#jobs.run("flush", { trees, paths: also }, options);
	}

	async sealApplied(
		layers: readonly LayerPlace[],
		also: readonly string[],
		options?: RunOptions,
	): Promise<void> {
		const [any] = layers;
		if (any === undefined) return;
		if (layers.some(({ form }) => form !== PACKED)) {
			await this.#jobs.run("sync", { path: any.directory }, options);
			return;
		}
		// Side by side, and the names of the files last.
		await Promise.all(
			layers.map((layer) => this.#jobs.run("flush", { trees: [], paths: packedFilesOf(layer) }, options)),
		);
		await this.#jobs.run("flush", { trees: [], paths: also }, options);
	}

	async copy(staged: string, layer: LayerPlace, { share, ...options }: CopyOptions): Promise<LayerForm> {
		if (layer.form === PACKED) {
			await copyPacked(staged, layer);
			return PACKED;
		}
		const to = diffOf({ directory: staged });
		const marks = this.#facts.xattrPrefix;
		await this.#jobs.run("copy", { from: diffOf(layer), to, share, marks }, options);
		return TREE;
	}

	async finishCommit(layer: LayerPlace): Promise<void> {
		// Mounted by somebody already: this goes with the layer.
		if (isMountPoint(layer.mountPoint)) return;
		await rm(workOf(layer), { recursive: true, force: true });
		await rm(emptyOf(layer), { recursive: true, force: true });
	}
}

function inheritFromChain(
	layer: Pick<LayerPlace, "directory">,
	chain: readonly LayerPlace[],
	imageAt: string | undefined,
): void {
	const [below] = lowersOf(chain, imageAt);
	if (below !== undefined) inheritTreeRoot(diffOf(layer), below);
}

function makeFiller(plan: Plan, layer: LayerPlace): void {
	const filler = emptyOf(layer);
	if (plan.type === "overlay" && plan.lowers.includes(filler)) mkdirSync(filler, { recursive: true });
}
