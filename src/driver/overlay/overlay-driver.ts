/**
 * The overlay driver: an active layer's `diff/` is overlayfs's upper, the chain's `diff/` and `root/` are its
 * lowers. Committing changes nothing on disk.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import type { ApplyTarget, DiffSubject, OverlayXattrPrefix } from "../../layer/index.ts";
import { mountBind } from "../bind.ts";
import type {
	Driver,
	LayerPlace,
	MountDescription,
	MountRequest,
	PrepareOptions,
	UnmountOptions,
} from "../driver.ts";
import { mountFailure } from "../failure.ts";
import { diffOf, emptyOf, inheritTreeRoot, lowersOf, makeTreeRoot, mergedOf, workOf } from "../place.ts";
import { isMountPoint, unmountTree } from "../unmount.ts";
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
	readonly flattens = true;
	readonly #facts: OverlayFacts;

	constructor(facts: OverlayFacts) {
		this.#facts = facts;
	}

	status(): readonly (readonly [string, string])[] {
		return this.#facts.status;
	}

	prepareAhead(staged: string): void {
		const layer = { directory: staged, flattened: false };
		makeTreeRoot(diffOf(layer));
		mkdirSync(workOf(layer), { mode: 0o700 });
	}

	prepare(
		staged: string,
		chain: readonly LayerPlace[],
		{ kind, ahead = false }: PrepareOptions,
	): Promise<void> {
		const layer = { directory: staged, flattened: false };
		if (!ahead) makeTreeRoot(diffOf(layer));
		inheritFromChain(layer, chain);
		if (!ahead && kind === "active") mkdirSync(workOf(layer), { mode: 0o700 });
		return Promise.resolve();
	}

	prepareApply(staged: string, chain: readonly LayerPlace[]): Promise<ApplyTarget> {
		const layer = { directory: staged, flattened: false };
		makeTreeRoot(diffOf(layer));
		inheritFromChain(layer, chain);
		return Promise.resolve({
			form: "overlay",
			directory: diffOf(layer),
			lowers: lowersOf(chain),
			xattrPrefix: this.#facts.xattrPrefix,
			shareInodes: true,
		});
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

	describeMount(request: MountRequest): MountDescription {
		const plan = this.#plan(request);
		makeFiller(plan, request.layer);
		if (plan.type === "bind") {
			return { type: "bind", source: plan.source, options: [plan.readOnly ? "ro" : "rw", "rbind"] };
		}
		return { type: "overlay", source: "overlay", options: classicalOptions(plan) };
	}

	mount(request: MountRequest): string {
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

	diffSubject(layer: LayerPlace, chain: readonly LayerPlace[]): DiffSubject {
		const { xattrPrefix } = this.#facts;
		return { form: "upper", upper: diffOf(layer), lowers: lowersOf(chain), xattrPrefix };
	}

	ownDirectories(layer: LayerPlace): readonly string[] {
		return [diffOf(layer)];
	}

	finishCommit(layer: LayerPlace): void {
		// Seen by somebody already. Unmounting takes merged/ away, and the rest goes with the layer.
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
