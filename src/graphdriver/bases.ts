/**
 * What a child starts from. The store takes only committed layers as parents; a graph driver takes any layer, also
 * one that is written to (dockerd makes a container's layer over its `-init` layer).
 *
 * - A committed parent is the base itself.
 * - A writable parent is *frozen*: what it holds becomes an internal committed layer, and it goes on as an empty
 *   writable layer over that. Nothing is copied, and the child's changes are its own upper.
 * - A writable parent that is mounted cannot change its place: what it holds now is copied to an internal layer.
 */
import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import type { IdMaps } from "../idmap/index.ts";
import type { LayerId, LayerInfo, LayerStore } from "../store/index.ts";
import { FROZEN_FROM_LABEL, ID_LABEL, INTERNAL_LABEL, type LayerIds } from "./layer-ids.ts";

export const MOUNT_LABEL_LABEL = "lamella.graphdriver/mount-label";

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
		if (layer.parent !== undefined && (await this.holdsNothing(layer))) return layer.parent;
		return layer.mountCount > 0 ? this.#copy(id, layer) : this.freeze(id, layer);
	}

	/**
	 * The layer whose diff and parents are the same tree as `id`'s: the layer itself, or its parent where it is
	 * writable and has changed nothing.
	 */
	async contentOf(layer: LayerInfo): Promise<LayerInfo> {
		if (layer.kind === "committed" || layer.parent === undefined) return layer;
		return (await this.holdsNothing(layer)) ? this.#store.get(layer.parent) : layer;
	}

	/** Whether a writable layer is still as its parent. */
	async holdsNothing(layer: LayerInfo): Promise<boolean> {
		if (layer.parent === undefined) return false;
		if (this.#store.status().driver !== "overlay") return (await this.#store.changes(layer.id)).length === 0;
		const upper = path.join(layer.directory, "diff");
		if (readdirSync(upper).length > 0) return false;
		const parent = this.#store.get(layer.parent);
		const below = path.join(parent.directory, parent.flattened ? "root" : "diff");
		const [mine, theirs] = [statSync(upper), statSync(below)];
		return mine.mode === theirs.mode && mine.uid === theirs.uid && mine.gid === theirs.gid;
	}

	/** Step by step, so that a crash leaves the id either as it was or to be found again by the frozen layer's label. */
	async freeze(id: string, layer: LayerInfo): Promise<LayerId> {
		const frozen = this.#ids.freeName(id, ":frozen");
		await this.#store.commit(layer.id, frozen, {
			labels: { [INTERNAL_LABEL]: "frozen", [FROZEN_FROM_LABEL]: id },
			// One container's few changes over an image: not worth a tree of links.
			flatten: false,
		});
		await this.resume(id, frozen, layer.labels[MOUNT_LABEL_LABEL]);
		return frozen;
	}

	/** Makes the empty writable layer with which a frozen id goes on. */
	async resume(id: string, frozen: LayerId, mountLabel: string | undefined): Promise<void> {
		const name = this.#ids.freeName(id);
		await this.#store.create(name, {
			parent: frozen,
			labels: { [ID_LABEL]: id, ...(mountLabel === undefined ? {} : { [MOUNT_LABEL_LABEL]: mountLabel }) },
			mountLabel,
			idMaps: this.#idMaps,
		});
		this.#ids.set(id, name);
	}

	async #copy(id: string, layer: LayerInfo): Promise<LayerId> {
		const { stream, result } = this.#store.diff(layer.id);
		// applyLayer learns of a failure from the stream.
		result.catch(() => undefined);
		const copied = await this.#store.applyLayer(this.#ids.freeName(id, ":copied"), stream, {
			parent: layer.parent,
			labels: { [INTERNAL_LABEL]: "copied" },
		});
		return copied.id;
	}
}
