/**
 * Copies of committed layers with the owners that an ID map gives them, where idmapped mounts are not made
 * (`id-maps = "copy"`). Each is a committed layer over the one that it copies, and holds the whole tree: what is below it
 * is covered entry by entry. There is one for each layer and map, made when first asked for and shared by all
 * that have the same map; containerd is not shown it. It goes with the last snapshot over it, and with its parent.
 *
 * Every file of a copy is one of its own, so that no inode that another layer has is ever given away.
 */
import { createHash } from "node:crypto";
import { LamellaError } from "../../errors/index.ts";
import { formatIdMap, type IdMaps } from "../../idmap/index.ts";
import { type LayerId, type LayerInfo, type LayerStore, parseLayerId } from "../../store/index.ts";

const PREFIX = "containerd-shifted/";

/** A copy that is removed between being found and being used is made again, so often. */
const TRIES = 5;

/** The layer that a snapshot stands on as containerd knows it: of a copy the one that was copied. */
export function shownParent(store: LayerStore, { parent }: LayerInfo): LayerId | undefined {
	return parent !== undefined && isCopy(parent) ? store.get(parent).parent : parent;
}

function isCopy(id: LayerId): boolean {
	return id.startsWith(PREFIX);
}

function copyId(parent: LayerId, { uids, gids }: IdMaps): LayerId {
	const text = JSON.stringify([parent, formatIdMap(uids), formatIdMap(gids)]);
	return parseLayerId(PREFIX + createHash("sha256").update(text).digest("hex"));
}

export class ShiftedLayers {
	readonly #store: LayerStore;
	readonly #making = new Map<LayerId, Promise<void>>();

	constructor(store: LayerStore) {
		this.#store = store;
	}

	/**
	 * Calls `use` with a copy of the committed `parent`, which it makes where there is none; the copying is done in workers.
	 * @throws {LamellaError} `EINVALID` (an owner without a number on the host), `ENOTFOUND`, `ENOSPACE`; as `use`
	 */
	async using<R>(parent: LayerId, idMaps: IdMaps, use: (copy: LayerId) => Promise<R>): Promise<R> {
		const id = copyId(parent, idMaps);
		for (let tries = 1; ; tries++) {
			await this.#made(id, parent, idMaps);
			try {
				return await use(id);
			} catch (error) {
				// Somebody removed the last snapshot over it meanwhile, and it with that.
				if (this.#store.has(id) || !this.#store.has(parent) || tries === TRIES) throw error;
			}
		}
	}

	/**
	 * Removes a snapshot, with the copies of it that nobody uses, and with the copy below it if that is used no more.
	 * @throws {LamellaError} as LayerStore.remove
	 */
	async remove(id: LayerId): Promise<void> {
		const { parent } = this.#store.get(id);
		const unused = this.#store.children(id).filter((child) => isCopy(child) && this.#isUnused(child));
		if (unused.length > 0) await this.#store.removeAll([...unused, id]);
		else await this.#store.remove(id, { early: true });
		if (parent !== undefined && isCopy(parent)) await this.#removeUnused(parent);
	}

	/** Removes copies that a kill has left unused. */
	async sweep(): Promise<void> {
		const found = [...this.#store.list()].filter(({ id }) => isCopy(id) && !this.#making.has(id));
		for (const { id } of found) await this.#removeUnused(id);
	}

	#isUnused(id: LayerId): boolean {
		return this.#store.children(id).length === 0;
	}

	async #removeUnused(id: LayerId): Promise<void> {
		if (!this.#store.has(id) || !this.#isUnused(id)) return;
		try {
			await this.#store.remove(id, { early: true });
		} catch (error) {
			// A new snapshot came to stand on it, or another call removed it: both are as well.
			if (error instanceof LamellaError && ["EREFERENCED", "ENOTFOUND", "EBUSY"].includes(error.code)) return;
			throw error;
		}
	}

	async #made(id: LayerId, parent: LayerId, idMaps: IdMaps): Promise<void> {
		if (this.#store.has(id)) return;
		const making =
			this.#making.get(id) ?? this.#make(id, parent, idMaps).finally(() => this.#making.delete(id));
		this.#making.set(id, making);
		await making;
	}

	async #make(id: LayerId, parent: LayerId, idMaps: IdMaps): Promise<void> {
		const { stream, result } = this.#store.diff(parent, { against: null });
		try {
			await this.#store.applyLayer(id, stream, { parent, idMaps });
			await result;
		} catch (error) {
			stream.destroy();
			// Another process at the store was first.
			if (error instanceof LamellaError && error.code === "EEXISTS") return;
			throw error;
		}
	}
}
