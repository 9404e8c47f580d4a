/** What a snapshot with ID maps stands on, by the option `id-maps`: its parent, seen through the map, or a shifted copy. */
import { idMappedMountProblem } from "../../../driver/index.ts";
import { LamellaError } from "../../../errors/index.ts";
import type { IdMaps } from "../../../idmap/index.ts";
import type { LayerId, LayerStore } from "../../../store/index.ts";
import type { IdMapsOption } from "../options.ts";
import { isShifted } from "./labels.ts";
import type { ShiftedLayers } from "./shifted-layers.ts";

/** What `LayerStore.create` is to be told. */
export interface Below {
	readonly parent: LayerId | undefined;
	readonly idMappedBelow: boolean;
}

export class IdMappedParent {
	readonly #store: LayerStore;
	readonly #option: IdMapsOption;
	readonly #copies: ShiftedLayers;
	/** Asked for once; `null` before. */
	#mountProblem: string | undefined | null = null;

	constructor(store: LayerStore, option: IdMapsOption, copies: ShiftedLayers) {
		this.#store = store;
		this.#option = option;
		this.#copies = copies;
	}

	/**
	 * Calls `create` with what the snapshot has to be made over.
	 * @throws {LamellaError} `EINVALID` (maps are refused), `ENOTSUPPORTED` (no idmapped mounts here); as ShiftedLayers.using
	 */
	async under<R>(
		parent: LayerId | undefined,
		idMaps: IdMaps | undefined,
		create: (below: Below) => Promise<R>,
	): Promise<R> {
		const asItIs: Below = { parent, idMappedBelow: false };
		if (idMaps === undefined) return await create(asItIs);
		if (parent !== undefined) {
			// What cannot be a parent is refused there.
			if (this.#store.get(parent).kind !== "committed") return await create(asItIs);
			if (await isShifted(this.#store, parent, idMaps)) return await create(asItIs);
		}
		if (this.#option === "refuse") {
			throw new LamellaError(
				"EINVALID",
				'snapshots with ID maps are refused here (id-maps = "refuse"); leave "remap-ids" out of the capabilities in ' +
					"containerd's configuration, and containerd remaps by itself",
			);
		}
		if (parent === undefined) return await create(asItIs);
		if (this.#option === "copy") {
			return await this.#copies.using(parent, idMaps, (copy) =>
				create({ parent: copy, idMappedBelow: false }),
			);
		}
		this.#mustMountMapped();
		return await create({ parent, idMappedBelow: true });
	}

	#mustMountMapped(): void {
		if (this.#mountProblem === null) this.#mountProblem = idMappedMountProblem(this.#store.status().root);
		if (this.#mountProblem === undefined) return;
		throw new LamellaError(
			"ENOTSUPPORTED",
			`idmapped mounts cannot be made here: ${this.#mountProblem}; set id-maps = "copy" in lamella's configuration, or ` +
				'leave "remap-ids" out of the capabilities in containerd\'s',
		);
	}
}
