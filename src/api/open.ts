/** Opening a store: defaults, the environment, and the two halves joined. */
import type { DriverName } from "../driver/index.ts";
import { openImages } from "../image/index.ts";
import { type FlattenPolicy, openLayerStore } from "../store/index.ts";
import { refuseAborted } from "./reading/open-reader.ts";
import { stateRoot } from "./state-root.ts";
import { Store } from "./store.ts";

export interface OpenStoreOptions {
	/** State root; not empty. Default: the environment variable LAMELLA_ROOT, else `/var/lib/lamella`. */
	readonly root?: string | undefined;
	/**
	 * How layers are realised; by default `packed` where it works, else `overlay`, else `vfs`, and the store says why. `packed` keeps the
	 * tars of images in place of trees. Once layers exist, `vfs` cannot be changed for the others.
	 */
	readonly driver?: DriverName | undefined;
	/** When layers get a flattened root. Default `auto`. */
	readonly flatten?: FlattenPolicy | undefined;
	/**
	 * For reading only: nothing is made, swept or changed, and operations that change something are refused. A root without a
	 * store reads as an empty one.
	 */
	readonly readOnly?: boolean | undefined;
	/** A root without a store is an error (`ENOTFOUND`), and none is made there. */
	readonly mustExist?: boolean | undefined;
	readonly signal?: AbortSignal | undefined;
}

/**
 * Opens the layer store at a state root, and makes it where there is none. Several processes may have it open.
 * Close it, or bind it with `await using`.
 * @throws {LamellaError} `EPERMISSION`, `EINCOMPATIBLEFS`, `ENATIVE`, `ECONFIG`, `ECORRUPT`, `EABORTED`
 */
export async function openStore(options: OpenStoreOptions = {}): Promise<Store> {
	const root = stateRoot(options.root);
	const { driver, flatten, readOnly, mustExist, signal } = options;
	refuseAborted(root, signal);
	const layerStore = await openLayerStore({ root, driver, flatten, readOnly, mustExist });
	try {
		refuseAborted(root, signal);
	} catch (error) {
		await layerStore.close();
		throw error;
	}
	return new Store(layerStore, openImages(layerStore));
}
