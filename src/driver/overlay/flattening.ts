/**
 * Roots of the overlay driver: the merged tree of a chain, every file in it a hard link to the layer that has it. Over packed
 * layers it is a fold: of the trees alone, since the files of an image cannot be linked to.
 */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import type { RunOptions } from "../../jobs/index.ts";
import type { OverlayXattrPrefix } from "../../layer/index.ts";
import type { Flattening, FlattenOptions, LayerJobRunner, LayerPlace, MadeRoot } from "../driver.ts";
import { foldedLayers, isPacked, type LayerForm, TREE, TREE_WITH_ROOT, treeWithFold } from "../form.ts";
import type { ChainImages } from "../packed/chain-image.ts";
import { diffOf, foldOf, lowersFrom, lowersOf, rootOf } from "../place.ts";

export class OverlayFlattening implements Flattening {
	readonly #xattrPrefix: OverlayXattrPrefix;
	readonly #jobs: LayerJobRunner;
	readonly #images: ChainImages;

	constructor(xattrPrefix: OverlayXattrPrefix, jobs: LayerJobRunner, images: ChainImages) {
		this.#xattrPrefix = xattrPrefix;
		this.#jobs = jobs;
		this.#images = images;
	}

	async make(
		layer: LayerPlace,
		chain: readonly LayerPlace[],
		target: string,
		{ sync, fold, ...options }: FlattenOptions,
	): Promise<MadeRoot> {
		mkdirSync(target, { mode: 0o755 });
		const all = [layer, ...chain];
		await using image = await this.#images.holdBelow(all);
		const lowers = lowersFrom(layer, chain, image?.path);
		const count = fold ?? (image === undefined ? undefined : all.findIndex(({ form }) => isPacked(form)));
		const over = count === undefined ? [] : lowers.splice(count);
		const xattrPrefix = this.#xattrPrefix;
		const { entries } = await this.#jobs.run("flatten", { lowers, over, target, xattrPrefix, sync }, options);
		if (count === undefined) return { form: TREE_WITH_ROOT, entries };
		return { form: treeWithFold(count), entries, over: all[count] };
	}

	async merge(
		staged: string,
		layers: readonly LayerPlace[],
		chain: readonly LayerPlace[],
		options?: RunOptions,
	): Promise<LayerForm> {
		await using image = await this.#images.holdBelow(chain);
		const target = diffOf({ directory: staged });
		mkdirSync(target, { mode: 0o755 });
		const [lowers, over] = [lowersOf(layers), lowersOf(chain, image?.path)];
		await this.#jobs.run("flatten", { lowers, over, target, xattrPrefix: this.#xattrPrefix }, options);
		return TREE;
	}

	place(directory: string, staged: string, form: LayerForm): void {
		const target = foldedLayers(form) === undefined ? rootOf({ directory }) : foldOf({ directory });
		// One that is there was finished by a process that then died.
		if (!existsSync(target)) renameSync(staged, target);
	}

	stale(layer: LayerPlace): readonly string[] {
		const unrecorded: string[] = [];
		if (foldedLayers(layer.form) === undefined) unrecorded.push(foldOf(layer));
		if (layer.form !== TREE_WITH_ROOT) unrecorded.push(rootOf(layer));
		return unrecorded.filter((found) => existsSync(found));
	}
}
