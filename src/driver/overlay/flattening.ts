/** Roots of the overlay driver: the merged tree of a chain, every file in it a hard link to the layer that has it. */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import type { OverlayXattrPrefix } from "../../layer/index.ts";
import type { Flattening, FlattenOptions, LayerJobRunner, LayerPlace } from "../driver.ts";
import { isFlattened, type LayerForm, TREE_WITH_ROOT } from "../form.ts";
import { lowersOf, rootOf } from "../place.ts";

export class OverlayFlattening implements Flattening {
	readonly #xattrPrefix: OverlayXattrPrefix;
	readonly #jobs: LayerJobRunner;

	constructor(xattrPrefix: OverlayXattrPrefix, jobs: LayerJobRunner) {
		this.#xattrPrefix = xattrPrefix;
		this.#jobs = jobs;
	}

	async make(
		layer: LayerPlace,
		chain: readonly LayerPlace[],
		staged: string,
		{ sync, ...options }: FlattenOptions,
	): Promise<void> {
		mkdirSync(staged, { mode: 0o755 });
		const lowers = lowersOf([layer, ...chain]);
		await this.#jobs.run(
			"flatten",
			{ lowers, target: staged, xattrPrefix: this.#xattrPrefix, sync },
			options,
		);
	}

	place(directory: string, staged: string): LayerForm {
		const root = rootOf({ directory, form: TREE_WITH_ROOT });
		// One that is there was finished by a process that then died.
		if (!existsSync(root)) renameSync(staged, root);
		return TREE_WITH_ROOT;
	}

	stale(layer: LayerPlace): string | undefined {
		const root = rootOf(layer);
		return !isFlattened(layer.form) && existsSync(root) ? root : undefined;
	}
}
