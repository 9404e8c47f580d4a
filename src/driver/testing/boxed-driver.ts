/**
 * A third driver, for tests: it keeps a layer in a form that no other part of Lamella has ever heard of, one directory
 * deeper, and lets another driver do the rest. What works with it does not know how layers are kept.
 */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Driver, LayerPlace } from "../driver.ts";
import type { LayerForm } from "../form.ts";

const BOXED = "boxed" as LayerForm;

export function boxedDriver(inner: Driver): Driver {
	const inBox = (directory: string): string => path.join(directory, "box");
	const open = ({ directory, mountPoint }: LayerPlace): LayerPlace => ({
		directory: inBox(directory),
		mountPoint,
		form: inner.form,
	});
	const openAll = (chain: readonly LayerPlace[]): LayerPlace[] => chain.map(open);
	const make = (staged: string): string => {
		mkdirSync(inBox(staged), { mode: 0o710 });
		return inBox(staged);
	};
	return {
		name: inner.name,
		form: BOXED,
		appliesSideBySide: inner.appliesSideBySide,
		status: () => inner.status(),
		mergeDepth: (chain) => inner.mergeDepth(openAll(chain)),
		prepare: (staged, chain, options) => inner.prepare(make(staged), openAll(chain), options),
		prepareApply: async (staged, chain) => {
			const prepared = await inner.prepareApply(make(staged), openAll(chain));
			return { ...prepared, form: BOXED };
		},
		describeMount: (request) =>
			inner.describeMount({ ...request, layer: open(request.layer), chain: openAll(request.chain) }),
		paths: (layer, chain) => inner.paths(open(layer), openAll(chain)),
		isUntouched: (layer, chain) => inner.isUntouched(open(layer), openAll(chain)),
		mount: (request) =>
			inner.mount({ ...request, layer: open(request.layer), chain: openAll(request.chain) }),
		unmount: (layer, options) => inner.unmount(open(layer), options),
		prime: (layer, chain, options) => inner.prime(open(layer), openAll(chain), options),
		release: (layer, chain, options) => inner.release(open(layer), openAll([...chain]), options),
		isMounted: (layer) => inner.isMounted(open(layer)),
		hold: (layer, chain) => inner.hold(open(layer), openAll(chain)),
		look: (layer) => inner.look(open(layer)),
		withoutDerived: () => BOXED,
		dropDerived: (layer, discard) => inner.dropDerived(open(layer), discard),
		check: (layer, chain, options) => inner.check(open(layer), openAll(chain), options),
		keptTar: (layer) => inner.keptTar(open(layer)),
		usage: (layer, options) => inner.usage(open(layer), options),
		seal: (layer, also, options) => inner.seal(open(layer), also, options),
		sealApplied: (layers, also, options) => inner.sealApplied(openAll(layers), also, options),
		finishCommit: (layer) => inner.finishCommit(open(layer)),
		copy: async (staged, layer, options) => {
			await inner.copy(make(staged), open(layer), options);
			return BOXED;
		},
	};
}
