/** Opening a store: marker, directories, locks, database; then what processes that are gone have left. */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Driver, type DriverName, openDriver } from "../driver/index.ts";
import { LamellaError } from "../errors/index.ts";
import { JobPool } from "../jobs/index.ts";
import { LAYER_JOBS, type LayerJobs } from "../layer/index.ts";
import { PathLocks } from "../linux/index.ts";
import { StoreContext } from "./context.ts";
import type { FlattenPolicy, LayerStore } from "./contract.ts";
import { checkpointsOf } from "./database/checkpoint.ts";
import type { Database } from "./database/database.ts";
import { factOf, putFact } from "./database/facts.ts";
import { sweepDocuments } from "./disk/documents.ts";
import { type Layout, layoutAt, makeLayout, makeRoot } from "./disk/layout.ts";
import { isStore } from "./disk/marker.ts";
import { Reserve } from "./disk/reserve.ts";
import { writeMarker } from "./disk/write-marker.ts";
import { storeFailure } from "./failure.ts";
import { layerStore } from "./layer-store.ts";
import { Background } from "./processes/background.ts";
import { Owner } from "./processes/owner.ts";
import { StateRootLock } from "./processes/state-root.ts";
import { chooseDriver, openDatabaseForReading } from "./reading/open-reader.ts";
import { openDatabase } from "./rebuild.ts";
import { recover } from "./recovery.ts";

const MAKING_RETRY_MS = 10;
const MAKING_TIMEOUT_MS = 2000;

export interface LayerStoreOptions {
	/** State root; made (0710) where there is none. */
	readonly root: string;
	/** Default `auto`: what the store was made with, else the first that works. Once layers exist, vfs cannot be changed for the others. */
	readonly driver?: DriverName | "auto" | undefined;
	/** `auto` is an error where layers could only be whole copies (vfs). */
	readonly mustMount?: boolean | undefined;
	/** Default `auto`. */
	readonly flatten?: FlattenPolicy | undefined;
	/** Threads for bulk file work. Default: the machine's parallelism, at least 2. */
	readonly threads?: number | undefined;
	/**
	 * For reading only: nothing is made, swept or changed, and operations that change something are refused. A root without
	 * a store reads as an empty one.
	 */
	readonly readOnly?: boolean | undefined;
	/** A root without a store is an error, and none is made there. */
	readonly mustExist?: boolean | undefined;
	/** @internal For tests: another driver in the place of the one that was opened. */
	readonly replaceDriver?: ((opened: Driver) => Driver) | undefined;
}

/**
 * Opens the layer store at a state root. Several processes may have it open at once.
 * @throws {LamellaError} `EPERMISSION`, `EINCOMPATIBLEFS`, `ENOTSUPPORTED`, `ENATIVE`, `ECONFIG`, `ECORRUPT`, `EBUSY`
 */
export async function openLayerStore(options: LayerStoreOptions): Promise<LayerStore> {
	const layout = layoutAt(options.root);
	// Undoes what has been opened so far; run in reverse order, at the end or where a later step fails.
	const opened: (() => unknown)[] = [];
	try {
		if (options.mustExist === true && !isStore(layout.root)) {
			throw new LamellaError(
				"ENOTFOUND",
				`there is no store at ${layout.root} yet; importing an image or creating a layer makes one`,
				{ path: layout.root },
			);
		}
		if (options.readOnly === true) return openForReading(layout, options, opened);
		return await open(layout, options, opened);
	} catch (error) {
		for (const undo of opened.reverse()) await undo();
		throw storeFailure(error, `open the store at ${layout.root}`);
	}
}

async function open(
	layout: Layout,
	options: LayerStoreOptions,
	opened: (() => unknown)[],
): Promise<LayerStore> {
	const isNew = !isStore(layout.root);
	if (isNew) makeRoot(layout);
	const reserve = new Reserve(layout.root);
	const isNearlyFull = reserve.makeRoom();
	opened.push(() => reserve.takeBack());
	const lock = await lockRoot(layout);
	opened.push(() => lock.release());
	if (!isStore(layout.root)) await writeMarker(layout.root);
	makeLayout(layout);
	const { database, notices } = await openDatabase(layout, { alone: lock.alone, reserve });
	opened.push(() => database.close());
	const owner = Owner.claim(layout);
	opened.push(() => owner.release());
	const closed = new AbortController();
	const store = contextOf(layout, options, { database, owner, closed }, opened);
	store.notices.push(...notices);
	// A new store gets its driver now, so that a driver that was asked for and does not work is told at once.
	if (factOf(database, "driver") === undefined) {
		const { name } = store.driver;
		await database.transaction(() => putFact(database, "driver", name));
	}
	// A driver's trial makes a few files, for which there is no room once the reserve is taken back.
	if (isNearlyFull) void store.driver;
	await recover(store);
	if (lock.alone) {
		sweepDocuments(database, layout);
		lock.share();
	}
	reserve.takeBack();
	reserve.keep();
	return closing(store, closed, opened);
}

function openForReading(layout: Layout, options: LayerStoreOptions, opened: (() => unknown)[]): LayerStore {
	const database = openDatabaseForReading(layout);
	opened.push(() => database.close());
	const closed = new AbortController();
	return closing(contextOf(layout, options, { database, owner: undefined, closed }, opened), closed, opened);
}

interface Handles {
	readonly database: Database;
	readonly owner: Owner | undefined;
	readonly closed: AbortController;
}

/** Puts the parts of an opening together. The driver is opened when it is first needed. */
function contextOf(
	layout: Layout,
	options: LayerStoreOptions,
	{ database, owner, closed }: Handles,
	opened: (() => unknown)[],
): StoreContext {
	const jobs = new JobPool<LayerJobs>(LAYER_JOBS, { threads: options.threads });
	opened.push(() => jobs.dispose());
	const background = new Background();
	if (owner !== undefined) opened.push(checkpointsOf(database, background));
	const { name, ...chosen } = chooseDriver(database, layout, options.driver);
	return new StoreContext({
		layout,
		database,
		openDriver: (): Driver => {
			const mustMount = options.mustMount === true || chosen.mustMount;
			const driver = openDriver({ root: layout.root, trialIn: owner?.directory, name, mustMount, jobs });
			return options.replaceDriver?.(driver) ?? driver;
		},
		jobs,
		owner,
		locks: new PathLocks(),
		background,
		flattenPolicy: options.flatten ?? "auto",
		closing: closed.signal,
	});
}

function closing(store: StoreContext, closed: AbortController, opened: (() => unknown)[]): LayerStore {
	return layerStore(store, async () => {
		// What can be done another time stops here; the rest is waited for.
		closed.abort();
		const undo = opened.reverse();
		await store.background.settled();
		for (const one of undo) await one();
	});
}

async function lockRoot(layout: Layout): Promise<StateRootLock> {
	const deadlineMs = performance.now() + MAKING_TIMEOUT_MS;
	for (;;) {
		const lock = await StateRootLock.take(layout);
		// Somebody is making the database. If they die, the next try is alone and makes it.
		if (lock.alone || existsSync(layout.database) || performance.now() > deadlineMs) return lock;
		lock.release();
		await sleep(MAKING_RETRY_MS);
	}
}
