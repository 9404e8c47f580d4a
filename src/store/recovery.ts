/**
 * Cleaning up after processes that were killed, and after a power cut. The database says what exists, so:
 *
 * 1. what a transaction removed is deleted, and what is in the trash of processes that are gone;
 * 2. staging/ of processes that are gone is swept: nothing in it was ever recorded;
 * 3. a directory in layers/ that no record knows is set aside in lost+found/: an operation was cut off before it was
 *    recorded, or an older database was put back;
 * 4. the record of a writable layer or view whose directory is gone is dropped: the layer was made in the last moment before
 *    a power cut. A committed layer, and one that has children, is kept and told of;
 * 5. in mounts/, holds of mounts that are no more and directories that nothing is mounted at are taken away.
 *
 * Nothing here touches what a living process is working on, so it may run at any time, in several processes at once.
 */
import { closeSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { mountNamespace } from "../linux/index.ts";
import { missingDirectory, type StoreContext } from "./context.ts";
import type { LayerRecord } from "./database/layer-record.ts";
import {
	allCheckpoints,
	allNames,
	childrenOf,
	deleteLayer,
	layerAt,
	layerOfMount,
} from "./database/layers.ts";
import type { Layout } from "./disk/layout.ts";
import { nextSidecarOf } from "./disk/sidecar.ts";
import { errnoOf } from "./failure.ts";
import { currentHold, settleMount } from "./operations/mounting.ts";
import {
	forgetMount,
	heldLayers,
	holdsElsewhere,
	holdsFile,
	leftMounts,
	writeHold,
} from "./processes/mount-holds.ts";
import { ownerLives, ownerOf, seizeOwner } from "./processes/owner.ts";

export async function recover(store: StoreContext): Promise<void> {
	deleteLeftovers(store);
	const isAfterKill = sweepStaging(store);
	// Listed before the records are read: a layer is renamed into layers/ before it is recorded.
	const directories = new Set(readdirSync(store.layout.layers));
	const recorded = new Set(allNames(store.database));
	setUnknownAside(
		store,
		[...directories].filter((n) => !recorded.has(n)),
	);
	await dropWithoutDirectory(
		store,
		[...recorded].filter((n) => !directories.has(n)),
	);
	await settleMounts(store);
	if (isAfterKill) await finishSidecars(store);
}

function deleteLeftovers(store: StoreContext): void {
	const removed = store.database.all<{ path: string }>("SELECT path FROM removed");
	// A row may have been edited: only paths that a removal writes are taken.
	store.deleteRemoved(
		removed.map(({ path }) => path).filter((path) => /^(layers|documents)\/\w+$/.test(path)),
	);
	for (const name of readdirSync(store.layout.trash)) {
		if (!isAtWork(store, name)) store.deleteTrash(path.join(store.layout.trash, name));
	}
}

/** Returns whether there was something to sweep. */
function sweepStaging(store: StoreContext): boolean {
	let isSwept = false;
	for (const owner of readdirSync(store.layout.staging)) {
		const fd = owner === store.owner.name ? undefined : seizeOwner(store.layout, owner);
		if (fd === undefined) continue;
		try {
			store.discard(path.join(store.layout.staging, owner));
			isSwept = true;
		} finally {
			closeSync(fd);
		}
	}
	return isSwept;
}

function setUnknownAside(store: StoreContext, directories: readonly string[]): void {
	for (const n of directories) {
		// That of a living process is about to be recorded, or taken back.
		if (isAtWork(store, n)) continue;
		const isKnown = layerAt(store.database, n) !== undefined || isRemoved(store, n);
		const aside = isKnown ? undefined : setLayerAside(store.layout, n);
		if (aside === undefined) continue;
		store.notices.push(`the directory layers/${n} belongs to no layer; it was moved to ${aside}`);
	}
}

/** Whether a transaction removed the layer whose directory is `layers/<n>`. */
export function isRemoved(store: StoreContext, n: string): boolean {
	return store.database.get("SELECT 1 FROM removed WHERE path = ?", `layers/${n}`) !== undefined;
}

async function dropWithoutDirectory(store: StoreContext, names: readonly string[]): Promise<void> {
	for (const n of names) {
		// Made since the directory was read, or removed since the records were.
		const record = existsSync(path.join(store.layout.layers, n)) ? undefined : layerAt(store.database, n);
		if (record === undefined) continue;
		if (record.kind === "committed" || childrenOf(store.database, record).length > 0) {
			store.notices.push(missingDirectory(store.layout, record));
			continue;
		}
		await store.transaction(() => {
			if (layerAt(store.database, record.n) !== undefined) deleteLayer(store.database, record);
		});
		store.notices.push(`layer "${record.id}" was lost in a power cut before it was flushed; make it again`);
	}
}

/** Takes away what killed processes left in mounts/, and ends what they had begun with a mount. */
async function settleMounts(store: StoreContext): Promise<void> {
	const left = new Set(leftMounts(store.layout, mountNamespace()));
	for (const name of new Set([...left, ...heldLayers(store.layout)])) {
		const layer = layerOfMount(store.database, name);
		if (layer === undefined) forgetMount(holdsFile(store.layout, { n: name }));
		// With the lock: a living process may be in the middle of it, and then has ended it.
		else if (left.has(name)) await store.withLayer(layer.id, (record) => settleLeft(store, record));
	}
}

async function settleLeft(store: StoreContext, record: LayerRecord): Promise<void> {
	const namespace = mountNamespace();
	await settleMount(store, record);
	if (currentHold(store, record, namespace) !== undefined) return;
	const holds = store.holdsOf(record);
	writeHold(holds, namespace, undefined);
	// One that nobody counted stays for its next mount.
	if (store.driver.isMounted(store.placeOf(record)) || holdsElsewhere(holds, namespace) > 0) return;
	forgetMount(holds);
}

/** Puts the sidecars of checkpoints in place that a killed process had only put beside (turning.ts). */
async function finishSidecars(store: StoreContext): Promise<void> {
	for (const { id, n } of allCheckpoints(store.database)) {
		const next = nextSidecarOf(path.join(store.layout.layers, n));
		if (!existsSync(next) || layerAt(store.database, n)?.id !== id) continue;
		await store.withLayer(id, async (record) => {
			if (record.n !== n || !existsSync(next)) return;
			await store.replaceRecord(record);
			rmSync(next, { force: true });
		});
	}
}

/** Moves a layer's directory to lost+found/. Returns its new path; undefined where it is gone. */
export function setLayerAside(layout: Layout, n: string): string | undefined {
	mkdirSync(layout.lost, { recursive: true, mode: 0o700 });
	let aside = path.join(layout.lost, n);
	while (existsSync(aside)) aside += "+";
	try {
		renameSync(path.join(layout.layers, n), aside);
		return aside;
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return undefined;
		throw error;
	}
}

/** Whether the owner that gave a name still lives. */
export function isAtWork({ layout }: StoreContext, name: string): boolean {
	return ownerLives(layout, ownerOf(name));
}
