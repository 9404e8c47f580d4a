/**
 * What a child starts from. The store takes only committed layers as parents; a graph driver takes any layer, also
 * one that is written to (dockerd makes a container's layer over its `-init` layer).
 *
 * - A committed parent is the base itself.
 * - A writable parent is *frozen*: what it holds becomes an internal committed layer, and it goes on as an empty
 *   writable layer over that. Nothing is copied, and the child's changes are its own upper.
 * - A writable parent that is mounted cannot change its place: what it holds now is copied to an internal layer.
 */
import { isLamellaError } from "../errors/index.ts";
import type { IdMaps } from "../idmap/index.ts";
import type { Labels, LayerId, LayerInfo, LayerStore } from "../store/index.ts";
import { FROZEN_FROM_LABEL, ID_LABEL, INTERNAL_LABEL, type LayerIds } from "./layer-ids.ts";

export const MOUNT_LABEL_LABEL = "lamella.graphdriver/mount-label";

/** A mount label as a label of the layer, for when the layer is made anew. */
export function labelled(mountLabel: string | undefined): Labels {
	return mountLabel === undefined ? {} : { [MOUNT_LABEL_LABEL]: mountLabel };
}

export class Bases {
	readonly #store: LayerStore;
	readonly #ids: LayerIds;
	readonly #idMaps: IdMaps | undefined;

	constructor(store: LayerStore, ids: LayerIds, idMaps: IdMaps | undefined) {
		this.#store = store;
		this.#ids = ids;
		this.#idMaps = idMaps;
	}

	/** A committed layer with exactly what `id` holds now. The caller holds the lock on `id`. @throws ENOTFOUND */
	async baseOf(id: string): Promise<LayerId> {
		const layer = this.#ids.resolve(id);
		if (layer.kind === "committed") return layer.id;
		if (layer.parent !== undefined && (await this.#store.isUntouched(layer.id))) return layer.parent;
		if (layer.mountCount === 0) return this.freeze(id, layer);
		const copied = this.#ids.freeName(id, ":copied");
		await this.#store.snapshot(layer.id, copied, { labels: { [INTERNAL_LABEL]: "copied" }, flatten: false });
		return copied;
	}

	/**
	 * The layer whose diff and parents are the same tree as `id`'s: the layer itself, or its parent where it is
	 * writable and has changed nothing.
	 */
	async contentOf(layer: LayerInfo): Promise<LayerInfo> {
		if (layer.kind === "committed" || layer.parent === undefined) return layer;
		return (await this.#store.isUntouched(layer.id)) ? this.#store.get(layer.parent) : layer;
	}

	/** Step by step, so that a crash leaves the id either as it was or to be found again by the frozen layer's label. */
	async freeze(id: string, layer: LayerInfo): Promise<LayerId> {
		const frozen = this.#ids.freeName(id, ":frozen");
		const mountLabel = layer.labels[MOUNT_LABEL_LABEL];
		await this.#store.commit(layer.id, frozen, {
			labels: { [INTERNAL_LABEL]: "frozen", [FROZEN_FROM_LABEL]: id, ...labelled(mountLabel) },
			// One container's few changes over an image: not worth a tree of links.
			flatten: false,
		});
		await this.resume(id, frozen, mountLabel);
		return frozen;
	}

	/** Makes the empty writable layer with which a frozen id goes on. */
	async resume(id: string, frozen: LayerId, mountLabel: string | undefined): Promise<void> {
		const name = this.#ids.freeName(id);
		await this.#store.create(name, {
			parent: frozen,
			labels: { [ID_LABEL]: id, ...labelled(mountLabel) },
			mountLabel,
			idMaps: this.#idMaps,
			// Where a power cut takes it, the frozen layer's label brings it back.
			durable: false,
		});
		this.#ids.set(id, name);
	}

	/** Internal layers go with the last child that needs them, and so do those below. */
	async removeUnused(start: LayerId): Promise<void> {
		let next: LayerId | undefined = start;
		while (next !== undefined && this.#store.has(next)) {
			const layer: LayerInfo = this.#store.get(next);
			if (layer.labels[INTERNAL_LABEL] === undefined || this.#store.children(next).length > 0) return;
			try {
				await this.#store.remove(next);
			} catch (error) {
				// Somebody else took it as a base, or removed it, since we looked.
				if (isLamellaError(error, "EREFERENCED") || isLamellaError(error, "ENOTFOUND")) return;
				throw error;
			}
			next = layer.parent;
		}
	}
}
