/** Opening a store: directories, locks, database, driver, threads; then what dead processes left. */
import { existsSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type DriverName, openDriver } from "../driver/index.ts";
import { LamellaError } from "../errors/index.ts";
import { JobPool } from "../jobs/index.ts";
import { LAYER_JOBS, type LayerJobs } from "../layer/index.ts";
import { Background } from "./background.ts";
import type { FlattenPolicy, LayerStore } from "./contract.ts";
import { EarlyMeta } from "./early-meta.ts";
import { storeFailure } from "./failure.ts";
import { LayerLocks } from "./layer-locks.ts";
import { layerStore } from "./layer-store.ts";
import { type Layout, layoutAt, makeLayout } from "./layout.ts";
import type { MetaStore } from "./meta-store.ts";
import { openMetadata } from "./metadata.ts";
import { Owner } from "./owner.ts";
import { Pending } from "./pending.ts";
import { forgetPromises, Promises } from "./promises.ts";
import { recover } from "./recovery.ts";
import { Reserve } from "./reserve.ts";
import { Spares } from "./spares.ts";
import { StateRootLock } from "./state-root.ts";
import { flush, StoreContext } from "./store-context.ts";

const MAKING_RETRY_MS = 10;
const MAKING_TIMEOUT_MS = 2000;

export interface LayerStoreOptions {
	/** State root; made (0710) where there is none. */
	readonly root: string;
	/** Default `auto`: what the store was made with, else overlay where it works. Fixed once layers exist. */
	readonly driver?: DriverName | "auto" | undefined;
	/** Default `auto`. */
	readonly flatten?: FlattenPolicy | undefined;
	/** Threads for bulk file work. Default: the machine's parallelism, at least 2. */
	readonly threads?: number | undefined;
}

/**
 * Opens the layer store at a state root. Several processes may have it open at once.
 * @throws {LamellaError} `EPERMISSION`, `EINCOMPATIBLEFS`, `ENOTSUPPORTED`, `ENATIVE`, `ECONFIG`, `ECORRUPT`, `EBUSY`
 */
export async function openLayerStore(options: LayerStoreOptions): Promise<LayerStore> {
	const layout = layoutAt(options.root);
	// What was opened so far, to be undone from the end where the next thing fails.
	const opened: (() => unknown)[] = [];
	try {
		makeLayout(layout);
		const reserve = new Reserve(layout.root);
		reserve.makeRoom();
		opened.push(() => reserve.takeBack());
		const { lock, meta } = await openLocked(layout, reserve, opened);
		const jobs = new JobPool<LayerJobs>(LAYER_JOBS, { threads: options.threads });
		opened.push(() => jobs.dispose());
		const driver = openDriver({
			root: layout.root,
			name: chooseDriver(meta, layout, options.driver),
			copyTree: (request) => jobs.run("copy", request),
		});
		const owner = Owner.claim(layout);
		opened.push(() => owner.release());
		const closing = new AbortController();
		const store = new StoreContext({
			layout,
			meta: new EarlyMeta(meta, (request) => jobs.run("flush", request)),
			driver,
			jobs,
			owner,
			locks: new LayerLocks(),
			background: new Background(),
			pending: new Pending(owner.name),
			promises: new Promises(owner.directory),
			spares: new Spares(owner, driver),
			flattenPolicy: options.flatten ?? "auto",
			closing: closing.signal,
		});
		if (meta.get("facts", "driver") !== driver.name) {
			await meta.transaction((transaction) => transaction.put("facts", "driver", driver.name));
		}
		await recover(store);
		if (lock.alone) lock.share();
		reserve.takeBack();
		reserve.keep();
		return layerStore(store, async () => {
			closing.abort();
			await store.background.settled();
			const hasPromised = store.promises.close();
			// Were the file back after a power cut, it would not be known any more what was kept of it.
			if (hasPromised) await flush(owner.directory);
			if (store.pending.hasDone || hasPromised) {
				await store.transaction(({ meta }) => {
					if (hasPromised) forgetPromises(meta, owner.name);
				});
			}
			store.spares.close();
			for (const undo of opened.reverse()) await undo();
		});
	} catch (error) {
		for (const undo of opened.reverse()) await undo();
		throw storeFailure(error, `open the store at ${layout.root}`);
	}
}

async function openLocked(
	layout: Layout,
	reserve: Reserve,
	opened: (() => unknown)[],
): Promise<{ lock: StateRootLock; meta: MetaStore }> {
	const deadlineMs = performance.now() + MAKING_TIMEOUT_MS;
	for (;;) {
		const lock = await StateRootLock.take(layout);
		// Whoever was making the database may have died; then the next try finds nobody there and makes it.
		if (lock.alone || isMade(layout) || performance.now() > deadlineMs) {
			opened.push(() => lock.release());
			const meta = await openMetadata(layout, { alone: lock.alone, reserve });
			opened.push(() => meta.close());
			return { lock, meta };
		}
		lock.release();
		await sleep(MAKING_RETRY_MS);
	}
}

/** Whoever is alone makes the database whole before others can have the lock, so a file that is there is whole. */
function isMade(layout: Layout): boolean {
	return existsSync(path.join(layout.metadata, "data.mdb"));
}

/** @throws {LamellaError} `ECONFIG` where layers were made with another driver */
function chooseDriver(
	meta: MetaStore,
	layout: Layout,
	asked: DriverName | "auto" = "auto",
): DriverName | "auto" {
	const before = meta.get<DriverName>("facts", "driver");
	if (before === undefined) return asked;
	if (asked === "auto" || asked === before) return before;
	for (const _ of meta.entries("layers")) {
		throw new LamellaError(
			"ECONFIG",
			`the layers in ${layout.root} were made by the ${before} driver; open it with that, or take another state root`,
		);
	}
	return asked;
}
