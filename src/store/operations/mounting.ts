/** Mounts and their counts. Everything here runs with the layer's lock: mount(2) and the count have to agree. */
import { LamellaError } from "../../errors/index.ts";
import { mountNamespace } from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import type { LayerId, Mount } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { layerAt } from "../database/layers.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import {
	type Hold,
	holdsElsewhere,
	isHeld,
	isSealing,
	readHold,
	writeHold,
	writeSealing,
} from "../processes/mount-holds.ts";

/** Takes one hold of the layer's mount; the first one mounts. Returns where the tree is. */
export async function holdMount(
	store: StoreContext,
	id: LayerId,
	options: { readonly mountLabel?: string | undefined },
): Promise<string> {
	return await store.withLayer(id, async (record) => {
		const holds = store.holdsOf(record);
		const namespace = mountNamespace();
		await settleMount(store, record);
		const before = currentHold(store, record, namespace);
		const [layer, ...chain] = store.placesFrom(record);
		try {
			// What is mounted stays as it is: others hold it, or a killed process or another mount namespace left it.
			const mountLabel = options.mountLabel ?? record.mountLabel;
			const path = await store.driver.mount({
				layer,
				chain,
				kind: record.kind,
				mountLabel,
			});
			crashPoint("mount:mounted");
			// The record may have gone without the lock, with the layer that it is a checkpoint of.
			if (layerAt(store.database, record.n) === undefined) {
				store.driver.unmount(layer);
				throw new LamellaError("ENOTFOUND", `layer "${id}" was removed while it was mounted`, { layer: id });
			}
			const mounted = store.driver.isMounted(layer);
			writeHold(holds, namespace, {
				count: (before?.count ?? 0) + 1,
				mounted,
				mountLabel: before === undefined ? mountLabel : before.mountLabel,
			});
			crashPoint("mount:counted");
			return path;
		} catch (error) {
			throw storeFailure(error, `mount layer "${id}"`, id);
		}
	});
}

/** Gives one hold back; the last one unmounts. Where nothing is held, a leftover mount is unmounted. */
export async function releaseMount(
	store: StoreContext,
	id: LayerId,
	{ force = false }: { readonly force?: boolean | undefined },
): Promise<void> {
	await store.withLayer(id, async (record) => {
		const holds = store.holdsOf(record);
		const namespace = mountNamespace();
		await settleMount(store, record);
		const hold = currentHold(store, record, namespace);
		if (hold !== undefined && hold.count > 1 && !force) {
			writeHold(holds, namespace, { ...hold, count: hold.count - 1 });
			crashPoint("unmount:counted");
			return;
		}
		await unmountRecord(store, record, namespace, force);
	});
}

/** A `Mount` for one hold. */
export function mountHandle(store: StoreContext, id: LayerId, path: string): Mount {
	let released: Promise<void> | undefined;
	const unmount = (): Promise<void> => {
		released ??= releaseMount(store, id, {}).catch((error: unknown) => {
			// Something still uses the mount: the hold stays, and can be given back later.
			released = undefined;
			throw error;
		});
		return released;
	};
	return { path, unmount, [Symbol.asyncDispose]: unmount };
}

/**
 * Refuses where somebody holds the layer's mount, and unmounts one that nobody holds. Call it with the lock.
 * @throws {LamellaError} `EBUSY`
 */
export async function mustBeUnmounted(
	store: StoreContext,
	record: LayerRecord,
	doing: "commit" | "remove" | "roll back",
	{ force = false }: { readonly force?: boolean | undefined } = {},
): Promise<void> {
	// Of most committed layers there is no mount, and an image has a hundred.
	const hasHolds = isHeld(store.holdsOf(record));
	if (hasHolds) await mustBeFree(store, record, doing, force);
	if (hasHolds || store.driver.isMounted(store.placeOf(record))) {
		await unmountRecord(store, record, mountNamespace(), force);
	}
	await store.driver.release(store.placeOf(record), store.placesBelow(record), { described: true });
}

async function mustBeFree(
	store: StoreContext,
	record: LayerRecord,
	doing: string,
	force: boolean,
): Promise<void> {
	const namespace = mountNamespace();
	await settleMount(store, record);
	if (force) return;
	const hold = currentHold(store, record, namespace);
	if (hold !== undefined) {
		const holders = hold.count === 1 ? "one holder" : `${hold.count} holders`;
		const out = doing === "remove" ? "unmount it first, or remove it with force" : "unmount it first";
		throw new LamellaError(
			"EBUSY",
			`cannot ${doing} layer "${record.id}": it is mounted at ${store.placeOf(record).mountPoint} (${holders}); ${out}`,
			{ layer: record.id, path: store.placeOf(record).mountPoint },
		);
	}
	if (holdsElsewhere(store.holdsOf(record), namespace) === 0) return;
	throw new LamellaError(
		"EBUSY",
		`cannot ${doing} layer "${record.id}": it is mounted in another mount namespace; unmount it there first`,
		{ layer: record.id },
	);
}

async function unmountRecord(
	store: StoreContext,
	record: LayerRecord,
	namespace: string,
	detach: boolean,
): Promise<void> {
	try {
		store.driver.unmount(store.placeOf(record), { detach });
		crashPoint("unmount:unmounted");
		await store.driver.release(store.placeOf(record), store.placesBelow(record));
		writeHold(store.holdsOf(record), namespace, undefined);
		crashPoint("unmount:counted");
	} catch (error) {
		throw storeFailure(error, `unmount layer "${record.id}"`, record.id);
	}
}

/**
 * Ends what a process that was killed in the middle of a checkpoint or rollback left: a mount that is read-only, or of the
 * directory that the layer had before. Call it with the lock.
 */
export async function settleMount(store: StoreContext, record: LayerRecord): Promise<void> {
	const namespace = mountNamespace();
	const holds = store.holdsOf(record);
	if (!isSealing(holds, namespace)) return;
	const [layer, ...chain] = store.placesFrom(record);
	const mountLabel = readHold(holds, namespace)?.mountLabel;
	await store.driver.sealing?.settle({ layer, chain, kind: record.kind, mountLabel });
	writeSealing(holds, undefined);
}

/** The hold, checked with the kernel: where the mount is gone (umount by hand, a reused namespace number) there is none. */
export function currentHold(store: StoreContext, record: LayerRecord, namespace: string): Hold | undefined {
	const hold = readHold(store.holdsOf(record), namespace);
	if (hold === undefined || hold.count < 1) return undefined;
	return hold.mounted && !store.driver.isMounted(store.placeOf(record)) ? undefined : hold;
}
