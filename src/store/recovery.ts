/**
 * What an opener does for processes that were killed, and after a power cut:
 *
 * - finishes pending work (pending.ts) that no living process is at;
 * - for each dead owner: its layers that were renamed into layers/ but never recorded go to trash, its promised commits
 *   (promises.ts) are recorded, then its staging goes;
 * - empties the trash of the dead;
 * - after a boot looks at every directory in layers/, since owners' directories may not have been flushed.
 *
 * Nothing here touches what a living owner is at, so it may run at any time, in several processes at once.
 */
import { closeSync, existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import path from "node:path";
import { isLamellaError } from "../errors/index.ts";
import { type MountInfo, readMountInfo } from "../linux/index.ts";
import { insertLayer } from "./catalog.ts";
import { keepPromise } from "./commit.ts";
import type { LayerId } from "./contract.ts";
import { bootId } from "./mount-holds.ts";
import { ownerLives, ownerOf, seizeOwner } from "./owner.ts";
import type { PendingWork } from "./pending.ts";
import { forgetPromises, hasPromised, type LeftPromise, readPromises } from "./promises.ts";
import { recordDirectory } from "./record-files.ts";
import { splitRecordPath } from "./records.ts";
import type { LayerRecord } from "./schema.ts";
import {
	isEarly,
	publishSidecar,
	readSidecar,
	stageSidecar,
	writeEarlySidecar,
	writeSidecar,
} from "./sidecar.ts";
import { flush, type StoreContext } from "./store-context.ts";

export async function recover(store: StoreContext): Promise<void> {
	await finishPending(store);
	const dead = deadOwners(store);
	const stagingOf = (owner: string): string => path.join(store.layout.staging, owner);
	try {
		const owners = new Set(dead.map(({ owner }) => owner));
		store.meta.refresh();
		const promises = dead.flatMap(({ owner }) => readPromises(stagingOf(owner), store.meta));
		for (const promise of promises) await restorePromised(store, promise);
		if (dead.length > 0) await settleUnrecorded(store, owners, promises);
		for (const { owner } of dead) store.discard(stagingOf(owner));
		await forgetTheirs(store, owners);
	} finally {
		for (const { fd } of dead) closeSync(fd);
	}
	await lookAfterBoot(store);
	emptyTrash(store);
}

interface DeadOwner {
	readonly owner: string;
	/** Holds the lock of its directory. */
	readonly fd: number;
}

function deadOwners(store: StoreContext): DeadOwner[] {
	const dead: DeadOwner[] = [];
	for (const owner of readdirSync(store.layout.staging)) {
		if (owner === store.owner.name) continue;
		const fd = seizeOwner(store.layout, owner);
		if (fd !== undefined) dead.push({ owner, fd });
	}
	return dead;
}

/**
 * Layers in layers/ of these owners that have no record: discarded, but for those that were made early, whose
 * maker had said that they are there. And commits that these owners promised. The owners are dead: nobody can be about to
 * record them. From the bottom up, since one may stand on the other.
 */
async function settleUnrecorded(
	store: StoreContext,
	owners: ReadonlySet<string>,
	promises: readonly LeftPromise[] = [],
): Promise<void> {
	store.meta.refresh();
	const promised = new Map(promises.map((promise) => [promise.record.n, promise]));
	const early: LayerRecord[] = [];
	for (const n of readdirSync(store.layout.layers)) {
		if (!owners.has(ownerOf(n)) || store.meta.get("places", n) !== undefined) continue;
		const record = earlyLayer(store, n);
		if (record === undefined) store.discard(path.join(store.layout.layers, n));
		else early.push(record);
	}
	const unrecorded = new Set(early.map(({ n }) => n));
	const recorded = promises.map(({ record }) => record).filter(({ n }) => !unrecorded.has(n));
	const settled = [...early, ...recorded];
	for (const record of settled.sort((a, b) => a.depth - b.depth)) {
		if (unrecorded.has(record.n) && !(await recordEarlyLayer(store, record))) {
			store.discard(path.join(store.layout.layers, record.n));
		}
		const promise = promised.get(record.n);
		if (promise !== undefined) await keepTheirs(store, promise);
	}
}

/** The record that a layer which was made early is to get. */
function earlyLayer(store: StoreContext, n: string): LayerRecord | undefined {
	const directory = path.join(store.layout.layers, n);
	// One that is being removed has no record either.
	if (store.meta.get("pending", `trash/${n}`) !== undefined || !isEarly(directory)) return undefined;
	const record = readSidecar(directory);
	return record?.n === n && record.kind !== "committed" ? record : undefined;
}

/** Returns whether the layer is recorded now. */
async function recordEarlyLayer(store: StoreContext, record: LayerRecord): Promise<boolean> {
	const { parent } = record;
	const parentN = parent === undefined ? undefined : store.meta.get<LayerRecord>("layers", parent)?.n;
	try {
		await store.transaction(({ meta }) => insertLayer(meta, record, parentN));
		return true;
	} catch (error) {
		// Its id is taken by now, or its parent gone: it cannot be what its maker said.
		if (isLamellaError(error)) return false;
		throw error;
	}
}

/** Keeps what a dead owner promised of a commit (promises.ts), if it did not come to it. */
async function keepTheirs(store: StoreContext, { record: promised, keep }: LeftPromise): Promise<void> {
	await store.locks.with(path.join(store.layout.layers, promised.n), async () => {
		store.meta.refresh();
		const record = recordAt(store, promised.n);
		if (record?.kind !== "active" || !existsSync(store.directoryOf(record))) return;
		try {
			const kept = keepPromise(store, record, promised, { keep });
			// Whoever opens the store waits for it.
			await Promise.all([kept, store.meta.recorded(record.id)]);
		} catch (error) {
			if (!isLamellaError(error)) throw error;
			// Another process took the name in between: the layer stays what it is, and `status` tells.
			store.background.failed(`commit layer "${record.id}"`, error);
		}
	});
}

/**
 * Sees to it that the tree of a layer whose commit was promised is there: what a power cut has taken of it, as nothing but
 * the promise was flushed, is in the promise.
 */
async function restorePromised(store: StoreContext, { record, key, tree }: LeftPromise): Promise<void> {
	const { n } = record;
	const directory = path.join(store.layout.layers, n);
	const [own] = store.driver.ownDirectories({ directory, flattened: false });
	if (tree === undefined || own === undefined) return;
	await store.locks.with(directory, async () => {
		const recorded = recordAt(store, n);
		const isKnown = recorded !== undefined || earlyLayer(store, n) !== undefined;
		if (isKnown && existsSync(own) && (await store.jobs.run("holdsTree", { directory: own, tree }))) return;
		// Somebody looks at it, so there was no power cut since: it is whole, and was changed after its commit.
		if (readMountInfo().some((mount) => mentions(mount, n))) return;
		const staged = path.join(store.owner.directory, store.owner.nextName());
		try {
			mkdirSync(staged, { mode: 0o710 });
			await store.jobs.run("restoreTree", {
				tree,
				directory: path.join(staged, path.relative(directory, own)),
			});
			if (recorded === undefined) writeEarlySidecar(staged, { ...record, id: key, kind: "active" });
			else await writeSidecar(staged, recorded);
			await store.jobs.run("sync", { path: staged });
			store.discard(directory);
			renameSync(staged, directory);
			await flush(store.layout.layers);
		} finally {
			store.discard(staged);
		}
	});
}

/** Bound from the layer's directory, or a lower or the upper of an overlay: paths may be relative there. */
function mentions({ root, superOptions }: MountInfo, n: string): boolean {
	return root.includes(`/${n}/`) || superOptions.includes(`${n}/`);
}

function recordAt(store: StoreContext, n: string): LayerRecord | undefined {
	const id = store.meta.get<LayerId>("places", n);
	return id === undefined ? undefined : store.meta.get<LayerRecord>("layers", id);
}

async function forgetTheirs(store: StoreContext, owners: ReadonlySet<string>): Promise<void> {
	const known = [...owners].filter((owner) => hasPromised(store.meta, owner));
	if (known.length === 0) return;
	// Were their files back after a power cut, it would not be known any more what was kept of them.
	await Promise.all([flush(store.layout.staging), flush(store.layout.trash)]);
	await store.transaction(({ meta }) => {
		for (const owner of known) forgetPromises(meta, owner);
	});
}

async function lookAfterBoot(store: StoreContext): Promise<void> {
	if (store.meta.get("facts", "boot") === bootId()) return;
	const owners = new Set(readdirSync(store.layout.layers).map(ownerOf));
	for (const owner of owners) {
		if (owner === store.owner.name || ownerLives(store.layout, owner)) owners.delete(owner);
	}
	await settleUnrecorded(store, owners);
	await store.meta.transaction((meta) => meta.put("facts", "boot", bootId()));
}

function emptyTrash(store: StoreContext): void {
	for (const name of readdirSync(store.layout.trash)) {
		const owner = ownerOf(name);
		if (owner === store.owner.name || ownerLives(store.layout, owner)) continue;
		store.deleteTrash(path.join(store.layout.trash, name));
	}
}

async function finishPending(store: StoreContext): Promise<void> {
	for (const [entry, token] of [...store.meta.entries<string>("pending")]) {
		const owner = token.slice(0, token.indexOf(":"));
		if (owner === store.owner.name || ownerLives(store.layout, owner)) continue;
		const work = entry as PendingWork;
		await finishOne(store, work);
		store.pending.done(work, token);
	}
	if (store.pending.hasDone) await store.transaction(() => undefined);
}

async function finishOne(store: StoreContext, work: PendingWork): Promise<void> {
	const slash = work.indexOf("/");
	const rest = work.slice(slash + 1);
	if (work.startsWith("record/")) {
		const { namespace, key } = splitRecordPath(rest);
		await store.writeRecordFile(namespace, key);
		const directories = [recordDirectory(store.layout, namespace), store.layout.records];
		await Promise.all(directories.filter((directory) => existsSync(directory)).map(flush));
		return;
	}
	if (work.startsWith("trash/")) {
		store.discard(path.join(store.layout.layers, rest));
		await Promise.all([flush(store.layout.layers), flush(store.layout.trash)]);
		return;
	}
	await store.locks.with(path.join(store.layout.layers, rest), async () => {
		store.meta.refresh();
		const record = recordAt(store, rest);
		if (record === undefined) return;
		const directory = store.directoryOf(record);
		// A record whose directory is gone is for `status` to tell of.
		if (!existsSync(directory)) return;
		await stageSidecar(directory, record, { flush: true });
		await publishSidecar(directory);
		await flush(directory);
		if (record.kind === "committed") store.driver.finishCommit(store.placeOf(record));
	});
}
