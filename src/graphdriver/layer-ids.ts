/**
 * Graph driver ids and the layers of the store that stand for them.
 *
 * A graph driver's layer may change its place in the store while it keeps its id (a layer that is written to gets a
 * child; a created layer gets its diff), so the id is a label of the store's layer:
 *
 * | label | on | means |
 * | --- | --- | --- |
 * | `lamella.graphdriver/id` | a layer that an id stands for | that id |
 * | `lamella.graphdriver/internal` | a layer without an id | `frozen` or `copied`: content that children share |
 * | `lamella.graphdriver/frozen-from` | a frozen layer | the id whose content it was |
 *
 * The labels are the truth; the map in memory is made from them when the driver starts.
 */
import { LamellaError } from "../errors/index.ts";
import { GRAPHDRIVER_LABELS, type LayerId, type LayerInfo, type LayerStore } from "../store/index.ts";

export const ID_LABEL: string = `${GRAPHDRIVER_LABELS}id`;
export const INTERNAL_LABEL: string = `${GRAPHDRIVER_LABELS}internal`;
export const FROZEN_FROM_LABEL: string = `${GRAPHDRIVER_LABELS}frozen-from`;

/** dockerd's ids are 64 hex digits, with `-init` for a container's first layer; others are taken as they are. */
const ID = /^[A-Za-z0-9_][A-Za-z0-9_.:@+ -]{0,254}$/;

/** @throws {LamellaError} `EINVALID` for what could never be an id (`""`, `.`, `..`, `a/b`) */
export function checkId(id: string): string {
	if (!ID.test(id)) {
		throw new LamellaError("EINVALID", `${JSON.stringify(id)} is not a layer id`);
	}
	return id;
}

export class LayerIds {
	readonly #store: LayerStore;
	readonly #byId = new Map<string, LayerId>();

	constructor(store: LayerStore) {
		this.#store = store;
	}

	/** Reads the labels of the whole store. Gives the layers that a crash left without a meaning. */
	load(): { readonly superseded: readonly LayerId[]; readonly internal: readonly LayerInfo[] } {
		this.#byId.clear();
		const superseded: LayerId[] = [];
		const internal: LayerInfo[] = [];
		for (const layer of this.#store.list()) {
			if (layer.labels[INTERNAL_LABEL] !== undefined) {
				internal.push(layer);
				continue;
			}
			const id = layer.labels[ID_LABEL];
			if (id === undefined) continue;
			const other = this.#byId.get(id);
			if (other === undefined) {
				this.#byId.set(id, layer.id);
				continue;
			}
			// The process ended between the commit of an applied diff and the removal of the layer it replaces.
			const stays = layer.kind === "committed" ? layer.id : other;
			superseded.push(stays === other ? layer.id : other);
			this.#byId.set(id, stays);
		}
		return { superseded, internal };
	}

	set(id: string, layer: LayerId): void {
		this.#byId.set(id, layer);
	}

	delete(id: string): void {
		this.#byId.delete(id);
	}

	/** Ids that this driver made. */
	ids(): IterableIterator<string> {
		return this.#byId.keys();
	}

	/** The store's layer for an id; also a layer that was made through the store itself and is no internal one. */
	find(id: string): LayerId | undefined {
		const known = this.#byId.get(id);
		if (known !== undefined) return this.#store.has(known) ? known : undefined;
		const direct = id as LayerId;
		if (!this.#store.has(direct)) return undefined;
		const { labels } = this.#store.get(direct);
		return labels[INTERNAL_LABEL] === undefined && labels[ID_LABEL] === undefined ? direct : undefined;
	}

	/** @throws {LamellaError} `ENOTFOUND` */
	resolve(id: string): LayerInfo {
		const layer = this.find(checkId(id));
		if (layer === undefined) throw new LamellaError("ENOTFOUND", `there is no layer "${id}"`, { layer: id });
		return this.#store.get(layer);
	}

	/** A name that is free in the store, near to `id` so that people find it. */
	freeName(id: string, suffix = ""): LayerId {
		for (let n = 1; ; n++) {
			const name = `${id}${suffix}${n === 1 ? "" : `.${n}`}` as LayerId;
			if (!this.#store.has(name)) return name;
		}
	}
}
