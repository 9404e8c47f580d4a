/**
 * A writable layer goes on in a new directory, at the same path: what checkpoint, rollback and fork share.
 *
 * The new directory is made aside and renamed into layers/. The mount becomes read-only, which the kernel refuses while
 * anything is open for writing, and everything is flushed. One transaction then gives the layer its new directory, and says
 * what becomes of the old one. Last, a mount of the new directory takes the place of the old one.
 *
 * Killed before the transaction, the layer is as it was; killed after it, it is in its new directory. What then is to be done
 * with the mount is noted beside its holds, and done by the next holder of the layer's lock (`settleMount`).
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import type { LayerPlace } from "../../driver/index.ts";
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import { type LayerRecord, mountNameOf } from "../database/layer-record.ts";
import { deleteLayer, insertLayer, parentOf, replaceLayer } from "../database/layers.ts";
import { nextSidecarOf, sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { holdsElsewhere, readHold, writeSealing } from "../processes/mount-holds.ts";
import { mustBeUnmounted, settleMount } from "./mounting.ts";

export interface Turn {
	/** The layer that the new directory is over; undefined for what the old one becomes, or the parent where it becomes nothing. */
	readonly over?: LayerRecord | undefined;
	/** The committed layer that the old directory becomes. Without it the directory is removed. */
	readonly sealed?: LayerRecord | undefined;
	/** What the layer in the new directory stands on, where that is not recorded yet. */
	readonly chain?: readonly LayerPlace[] | undefined;
	/** The transaction's beginning. Returns the directory of the sealed layer's parent, where it gets another one. */
	readonly first?: (() => string) | undefined;
	/** The rest of the transaction, after the old directory's part and before that of the new one. */
	readonly also?: (() => void) | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** The name of the directory that a turn makes. */
export function nextDirectory(store: StoreContext): string {
	return store.owner.nextName();
}

/**
 * What the directory of a writable layer becomes when it is sealed. The mount stays the writable layer's, so the sealed one
 * gets the name that no mount goes by: that of the new directory.
 */
export function sealedRecord(
	record: LayerRecord,
	next: string,
	also: Pick<LayerRecord, "id" | "labels" | "checkpoint">,
): LayerRecord {
	const { mountLabel: _, usage: __, checkpoints: ___, ...kept } = record;
	const nowNs = linux.realtimeNs();
	return { ...kept, ...also, mountName: next, kind: "committed", createdAtNs: nowNs, updatedAtNs: nowNs };
}

/** Moves the layer `record` to the directory `next`. Call it with the layer's lock; returns its record. */
export async function turnLayer(
	store: StoreContext,
	record: LayerRecord,
	next: string,
	turn: Turn,
): Promise<LayerRecord> {
	const { database, layout, driver, owner } = store;
	const { sealed, signal } = turn;
	const parent = turn.over ?? sealed ?? parentOf(database, record);
	const before = store.placeOf(record);
	const chain = turn.chain ?? chainOver(store, record, sealed, parent);
	const directory = path.join(layout.layers, next);
	const staged = path.join(owner.directory, next);
	const sidecar = nextSidecarOf(before.directory);
	const after: LayerRecord = {
		...record,
		n: next,
		parent: parent?.id,
		depth: parent === undefined ? 0 : parent.depth + 1,
		form: driver.form,
		mountName: mountNameOf(record),
		checkpoints: (record.checkpoints ?? 0) + (sealed === undefined ? 0 : 1),
		updatedAtNs: linux.realtimeNs(),
	};
	const namespace = mustBeSeenHereOnly(store, record);
	const { sealing } = driver;
	const mounted = sealing !== undefined && driver.isMounted(before);
	if (sealing === undefined) await mustBeUnmounted(store, record, "roll back");
	let isFrozen = false;
	try {
		mkdirSync(staged, { mode: 0o710 });
		await driver.prepare(staged, chain, { kind: "active" });
		copyOwner(before.directory, staged);
		await writeSidecar(sidecarOf(staged), after);
		// A turn that was cut off may have left one.
		rmSync(sidecar, { force: true });
		if (sealed !== undefined) await writeSidecar(sidecar, sealed);
		crashPoint("turn:staged");
		renameSync(staged, directory);
		crashPoint("turn:renamed");
		if (mounted) writeSealing(store.holdsOf(record), namespace);
		crashPoint("turn:noted");
		// A layer that is not mounted is flushed file by file, where its files are few.
		const also = [sidecarOf(directory), directory, layout.layers];
		if (sealed !== undefined) also.unshift(sidecar, before.directory);
		isFrozen = true;
		if (sealing === undefined) {
			if (sealed !== undefined) await driver.seal(before, [], { signal });
			await driver.seal(store.placeOf(after), also, { signal });
		}
		await sealing?.freeze(before, directory, also, { signal });
		crashPoint("turn:frozen");
		return await store.locks.with(directory, async () => {
			await store.transaction(
				() => {
					const sealedParent = turn.first?.();
					if (sealed === undefined) deleteLayer(database, record);
					else replaceLayer(database, sealed, sealedParent);
					turn.also?.();
					insertLayer(database, after, parent?.n);
				},
				{ durable: false },
			);
			isFrozen = false;
			crashPoint("turn:recorded");
			await finish(store, { record, sealed, sidecar, after, mounted, chain });
			return after;
		});
	} catch (error) {
		if (isFrozen && mounted) await settleMount(store, record);
		rmSync(sidecar, { force: true });
		store.takeBack(next);
		throw error;
	}
}

function chainOver(
	store: StoreContext,
	record: LayerRecord,
	sealed: LayerRecord | undefined,
	parent: LayerRecord | undefined,
): readonly LayerPlace[] {
	if (parent === undefined) return [];
	return parent === sealed ? [store.placeOf(sealed), ...store.placesBelow(record)] : store.placesOver(parent);
}

interface Recorded {
	readonly record: LayerRecord;
	readonly sealed: LayerRecord | undefined;
	readonly sidecar: string;
	readonly after: LayerRecord;
	readonly mounted: boolean;
	readonly chain: readonly LayerPlace[];
}

/**
 * After the transaction: the mount and the flush of the log, side by side. Then the sealed layer's sidecar: only when the record
 * is durable: otherwise a power cut could leave the sidecar without its record. Nobody waits for the sidecar's own flush: until then the one put beside stands for it.
 */
async function finish(
	store: StoreContext,
	{ record, sealed, sidecar, after, mounted, chain }: Recorded,
): Promise<void> {
	const { sealing } = store.driver;
	const flushes: Promise<unknown>[] = [store.database.flushed()];
	if (mounted && sealing !== undefined) {
		const holds = store.holdsOf(after);
		const mountLabel = readHold(holds, linux.mountNamespace())?.mountLabel;
		const swapped = sealing.swap({ layer: store.placeOf(after), chain, kind: "active", mountLabel });
		flushes.push(
			swapped.then(() => {
				crashPoint("turn:swapped");
				writeSealing(holds, undefined);
			}),
		);
	}
	await Promise.all(flushes);
	if (sealed !== undefined) {
		const place = store.placeOf(sealed);
		renameSync(sidecar, sidecarOf(place.directory));
		store.background.run(`tidy layer "${sealed.id}"`, async () => {
			// What only a writable layer needs can go when nobody waits.
			await store.driver.finishCommit(place);
			await store.groupFlush.flush([place.directory]);
		});
	} else store.deleteRemoved([`layers/${record.n}`]);
}

/** A user namespace's root walks through the layer's directory. */
function copyOwner(from: string, to: string): void {
	const { uid, gid } = linux.fstatat(linux.AT_FDCWD, from);
	linux.fchownat(linux.AT_FDCWD, to, uid, gid);
}

/** @throws {LamellaError} `EBUSY` */
function mustBeSeenHereOnly(store: StoreContext, record: LayerRecord): string {
	const namespace = linux.mountNamespace();
	if (holdsElsewhere(store.holdsOf(record), namespace) === 0) return namespace;
	throw new LamellaError(
		"EBUSY",
		`layer "${record.id}" is mounted in another mount namespace; do this there, or unmount it there first`,
		{ layer: record.id },
	);
}
