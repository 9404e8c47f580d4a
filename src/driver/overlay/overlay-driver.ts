/**
 * The overlay driver: an active layer's `diff/` is overlayfs's upper, the chain's `diff/` and `root/` are its
 * lowers. A commit only removes what a writable layer needs.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import type { RunOptions } from "../../jobs/index.ts";
import type { DiffSubject, OverlayXattrPrefix, Usage } from "../../layer/index.ts";
import { mountBind } from "../bind.ts";
import type {
	CopyOptions,
	Driver,
	Flattening,
	HeldSubject,
	LayerJobRunner,
	LayerPaths,
	LayerPlace,
	MountDescription,
	MountRequest,
	PreparedApply,
	PrepareOptions,
	UnmountOptions,
} from "../driver.ts";
import { mountFailure } from "../failure.ts";
import { isFlattened, type LayerForm, TREE } from "../form.ts";
import {
	diffOf,
	emptyOf,
	inheritTreeRoot,
	lowersOf,
	makeTreeRoot,
	mapTreeRoot,
	mergedOf,
	rootOf,
	workOf,
} from "../place.ts";
import { isMountPoint, unmountTree } from "../unmount.ts";
import { OverlayFlattening } from "./flattening.ts";
import { classicalOptions, type MountApi, mountOverlay, type OverlayMount } from "./mount-overlay.ts";

export interface OverlayFacts {
	readonly api: MountApi;
	/** `index=off`, … */
	readonly options: readonly string[];
	readonly xattrPrefix: OverlayXattrPrefix;
	readonly status: readonly (readonly [string, string])[];
}

/** What a layer's mount is made of. */
type Plan =
	| { readonly type: "bind"; readonly source: string; readonly readOnly: boolean }
	| ({ readonly type: "overlay" } & OverlayMount);

export class OverlayDriver implements Driver {
	readonly name = "overlay";
	readonly form: LayerForm = TREE;
	readonly appliesSideBySide = true;
	readonly flattening: Flattening;
	readonly #facts: OverlayFacts;
	readonly #jobs: LayerJobRunner;

	constructor(facts: OverlayFacts, jobs: LayerJobRunner) {
		this.#facts = facts;
		this.#jobs = jobs;
		this.flattening = new OverlayFlattening(facts.xattrPrefix, jobs);
	}

	status(): readonly (readonly [string, string])[] {
		return this.#facts.status;
	}

	mergeDepth(chain: readonly LayerPlace[]): number {
		return lowersOf(chain).length;
	}

	async prepare(
		staged: string,
		chain: readonly LayerPlace[],
		{ kind, idMaps }: PrepareOptions,
	): Promise<void> {
		const layer = { directory: staged, form: TREE };
		await makeTreeRoot(diffOf(layer));
		inheritFromChain(layer, chain);
		mapTreeRoot(diffOf(layer), idMaps);
		if (kind === "active") await mkdir(workOf(layer), { mode: 0o700 });
	}

	async prepareApply(staged: string, chain: readonly LayerPlace[]): Promise<PreparedApply> {
		const layer = { directory: staged, form: TREE };
		await makeTreeRoot(diffOf(layer));
		inheritFromChain(layer, chain);
		return {
			form: TREE,
			target: {
				form: "overlay",
				directory: diffOf(layer),
				lowers: lowersOf(chain),
				xattrPrefix: this.#facts.xattrPrefix,
				shareInodes: true,
			},
			[Symbol.asyncDispose]: () => Promise.resolve(),
		};
	}

	#plan({ layer, chain, kind, mountLabel: label }: MountRequest): Plan {
		const mountLabel = label === "" ? undefined : label;
		const { options } = this.#facts;
		const below = lowersOf(chain);
		// A bind mount takes no label; overlayfs does, and merges two directories at least.
		const filler = mountLabel === undefined ? [] : [emptyOf(layer)];
		if (kind === "active") {
			if (below.length === 0) below.push(...filler);
			if (below.length === 0) return { type: "bind", source: diffOf(layer), readOnly: false };
			const upper = { directory: diffOf(layer), work: workOf(layer) };
			return { type: "overlay", lowers: below, upper, options, mountLabel };
		}
		// A view has nothing of its own; a committed layer is seen with its own diff on top.
		const lowers = kind === "view" && below.length > 0 ? below : lowersOf([layer, ...chain]);
		if (lowers.length === 1) lowers.push(...filler);
		const [only = diffOf(layer), ...more] = lowers;
		if (more.length === 0) return { type: "bind", source: only, readOnly: true };
		return { type: "overlay", lowers, options, mountLabel };
	}

	async describeMount(request: MountRequest): Promise<MountDescription> {
		const plan = this.#plan(request);
		makeFiller(plan, request.layer);
		if (plan.type === "bind") {
			return { type: "bind", source: plan.source, options: [plan.readOnly ? "ro" : "rw", "rbind"] };
		}
		return { type: "overlay", source: "overlay", options: classicalOptions(plan) };
	}

	async mount(request: MountRequest): Promise<string> {
		const { layer } = request;
		const merged = mergedOf(layer);
		if (isMountPoint(merged)) return merged;
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
			throw mountFailure(error, merged);
		}
		return merged;
	}

	unmount(layer: LayerPlace, options: UnmountOptions = {}): void {
		unmountTree(mergedOf(layer), options);
	}

	isMounted(layer: LayerPlace): boolean {
		return isMountPoint(mergedOf(layer));
	}

	paths(layer: LayerPlace, chain: readonly LayerPlace[]): LayerPaths {
		const root = isFlattened(layer.form) ? rootOf(layer) : undefined;
		const work = existsSync(workOf(layer)) ? workOf(layer) : undefined;
		return { root, upper: diffOf(layer), lowers: lowersOf(chain), work, merged: mergedOf(layer) };
	}

	async isUntouched(layer: LayerPlace, chain: readonly LayerPlace[]): Promise<boolean> {
		const [below] = lowersOf(chain);
		if (below === undefined || readdirSync(diffOf(layer)).length > 0) return false;
		const [mine, theirs] = [statSync(diffOf(layer)), statSync(below)];
		return mine.mode === theirs.mode && mine.uid === theirs.uid && mine.gid === theirs.gid;
	}

	hold(layer: LayerPlace, chain: readonly LayerPlace[]): Promise<HeldSubject> {
		const { xattrPrefix } = this.#facts;
		const subject: DiffSubject = {
			form: "upper",
			upper: diffOf(layer),
			lowers: lowersOf(chain),
			xattrPrefix,
		};
		return Promise.resolve({ subject, [Symbol.asyncDispose]: () => Promise.resolve() });
	}

	usage(layer: LayerPlace, options?: RunOptions): Promise<Usage> {
		return this.#jobs.run("usage", { directories: [diffOf(layer)] }, options);
	}

	async seal(layer: LayerPlace, also: readonly string[], options?: RunOptions): Promise<void> {
		const trees = isFlattened(layer.form) ? [diffOf(layer), rootOf(layer)] : [diffOf(layer)];
		await this.#jobs.run("flush", { trees, paths: also }, options);
	}

	async sealApplied(
		[any]: readonly LayerPlace[],
		_also: readonly string[],
		options?: RunOptions,
	): Promise<void> {
		if (any !== undefined) await this.#jobs.run("sync", { path: any.directory }, options);
	}

	async copy(staged: string, layer: LayerPlace, { share, ...options }: CopyOptions): Promise<LayerForm> {
		const to = diffOf({ directory: staged, form: TREE });
		const marks = this.#facts.xattrPrefix;
		await this.#jobs.run("copy", { from: diffOf(layer), to, share, marks }, options);
		return TREE;
	}

	finishCommit(layer: LayerPlace): void {
		// Mounted by somebody already: merged/ goes with the unmount, the rest with the layer.
		if (isMountPoint(mergedOf(layer))) return;
		if (existsSync(mergedOf(layer))) unmountTree(mergedOf(layer));
		rmSync(workOf(layer), { recursive: true, force: true });
		rmSync(emptyOf(layer), { recursive: true, force: true });
	}
}

function inheritFromChain(layer: LayerPlace, chain: readonly LayerPlace[]): void {
	const [below] = lowersOf(chain);
	if (below !== undefined) inheritTreeRoot(diffOf(layer), below);
}

function makeFiller(plan: Plan, layer: LayerPlace): void {
	const filler = emptyOf(layer);
	if (plan.type === "overlay" && plan.lowers.includes(filler)) mkdirSync(filler, { recursive: true });
}
