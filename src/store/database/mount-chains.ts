/** What a mount over a layer needs of those below it. What can never change is read once. */
import { foldedLayers, hasFixedChain, standsAlone } from "../../driver/index.ts";
import type { Database } from "./database.ts";
import type { LayerRecord } from "./layer-record.ts";
import { chainOf, layerAt, missingBelow, parentOf } from "./layers.ts";

/** Chains that are kept, of a hundred layers each, take some megabytes. */
const KEPT_MAX = 10_000;

/** A layer and what is below it: chains share what they have in common. */
interface Link {
	readonly record: LayerRecord;
	readonly below: Link | undefined;
}

export class MountChains {
	readonly #database: Database;
	/** By the name of the directory, which is never another layer's. */
	readonly #fixed = new Map<string, Link>();

	constructor(database: Database) {
		this.#database = database;
	}

	/**
	 * What a mount over `top` needs, `top` first: what a fold stands for is left out, and what is below a layer that stands
	 * alone. However long the chain, it has few steps where it is folded. Of what is below a packed layer, id, directory and form
	 * are right; labels and usage may be older.
	 * @throws {LamellaError} `ECORRUPT` where one is missing
	 */
	of(top: LayerRecord): LayerRecord[] {
		return this.#database.reading(() => {
			const chain: LayerRecord[] = [];
			let layer: LayerRecord | undefined = top;
			while (layer !== undefined) {
				chain.push(layer);
				if (standsAlone(layer.form)) break;
				if (hasFixedChain(layer.form)) {
					for (let link = this.#below(layer); link !== undefined; link = link.below) chain.push(link.record);
					break;
				}
				layer =
					foldedLayers(layer.form) === undefined
						? parentOf(this.#database, layer)
						: belowFold(this.#database, layer);
			}
			return chain;
		});
	}

	#below(layer: LayerRecord): Link | undefined {
		const known = this.#fixed.get(layer.n);
		if (known !== undefined) return known.below;
		if (this.#fixed.size > KEPT_MAX) this.#fixed.clear();
		let below: Link | undefined;
		for (const record of [layer, ...chainOf(this.#database, layer)].reverse()) {
			below = { record, below };
			this.#fixed.set(record.n, below);
		}
		return below?.below;
	}
}

/** The layer that a layer's fold stands on. */
function belowFold(database: Database, record: LayerRecord): LayerRecord | undefined {
	if (record.fold !== undefined) {
		const below = layerAt(database, record.fold.over);
		if (below === undefined || below.depth >= record.depth) throw missingBelow(record, record.fold.over);
		return below;
	}
	let below: LayerRecord | undefined = record;
	for (let left = foldedLayers(record.form) ?? 0; left > 0 && below !== undefined; left--) {
		below = parentOf(database, below);
	}
	return below;
}
