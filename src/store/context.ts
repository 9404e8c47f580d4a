/** What every operation of the store works with, and the few moves that they share. */
import { existsSync, renameSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { type Driver, hasFixedChain, type LayerPlace, unmountImage } from "../driver/index.ts";
import { LamellaError } from "../errors/index.ts";
import type { JobPool } from "../jobs/index.ts";
import type { Digest, LayerJobs } from "../layer/index.ts";
import type { PathLocks } from "../linux/index.ts";
import type { FlattenPolicy, LayerId, LayerInfo, StoreTransaction } from "./contract.ts";
import type { Database } from "./database/database.ts";
import { type LayerRecord, mountNameOf } from "./database/layer-record.ts";
import {
	childrenOf,
	findLayer,
	layerAt,
	layerRecord,
	layerRecords,
	parentOf,
	replaceLayer,
} from "./database/layers.ts";
import { MountChains } from "./database/mount-chains.ts";
import { RecordChanges } from "./database/records.ts";
import { deleteDocument } from "./disk/documents.ts";
import { flush } from "./disk/flush.ts";
import { GroupFlush } from "./disk/group-flush.ts";
import { documentPath, type Layout } from "./disk/layout.ts";
import { sidecarOf, writeSidecar } from "./disk/sidecar.ts";
import { errnoOf, storeFailure } from "./failure.ts";
import type { Background } from "./processes/background.ts";
import { crashPoint } from "./processes/crash-point.ts";
import { holdsFile } from "./processes/mount-holds.ts";
import type { Owner } from "./processes/owner.ts";
import { layerInfo } from "./reading/layer-reader.ts";

/** All that is removed within this time is deleted by one job. */
const BATCH_MS = 50;

export interface StoreParts {
	readonly layout: Layout;
	readonly database: Database;
	/** Opening a driver tries it out on the filesystem (some 10 ms), so it is opened when something first needs it. */
	readonly openDriver: () => Driver;
	readonly jobs: JobPool<LayerJobs>;
	/** Absent in a store that is open for reading only. */
	readonly owner: Owner | undefined;
	readonly locks: PathLocks;
	readonly background: Background;
	readonly flattenPolicy: FlattenPolicy;
	/** Fires when the store closes: background work that can be done another time stops then. */
	readonly closing: AbortSignal;
}

export class StoreContext {
	readonly layout: Layout;
	readonly database: Database;
	readonly chains: MountChains;
	readonly jobs: JobPool<LayerJobs>;
	readonly locks: PathLocks;
	readonly background: Background;
	readonly flattenPolicy: FlattenPolicy;
	readonly closing: AbortSignal;
	readonly groupFlush: GroupFlush;
	/** What the opening found that people should know. */
	readonly notices: string[] = [];
	readonly #openDriver: () => Driver;
	#driver: Driver | undefined;
	readonly #owner: Owner | undefined;
	/** What the next job deletes: paths of the table `removed`, and directories in trash/. */
	readonly #removed = new Set<string>();
	readonly #trash: string[] = [];
	#deleteNow: (() => void) | undefined;

	constructor(parts: StoreParts) {
		this.layout = parts.layout;
		this.database = parts.database;
		this.chains = new MountChains(parts.database);
		this.jobs = parts.jobs;
		this.locks = parts.locks;
		this.background = parts.background;
		this.flattenPolicy = parts.flattenPolicy;
		this.closing = parts.closing;
		this.groupFlush = new GroupFlush(parts.layout.root, parts.jobs);
		this.#openDriver = parts.openDriver;
		this.#owner = parts.owner;
	}

	get driver(): Driver {
		this.#driver ??= this.#openDriver();
		return this.#driver;
	}

	/** @throws {LamellaError} `EINVALID` where the store is open for reading only */
	get owner(): Owner {
		if (this.#owner !== undefined) return this.#owner;
		throw new LamellaError(
			"EINVALID",
			`the store at ${this.layout.root} is open for reading only; open it without readOnly to change it`,
		);
	}

	/** A new path in this owner's directory in staging/. */
	stagedPath(): string {
		return path.join(this.owner.directory, this.owner.nextName());
	}

	directoryOf(record: LayerRecord): string {
		return path.join(this.layout.layers, record.n);
	}

	placeOf(record: LayerRecord): LayerPlace {
		return this.placeAt(this.directoryOf(record), record);
	}

	/** The place of a layer whose files are in `directory`, which may be a staged one. */
	placeAt(directory: string, record: Pick<LayerRecord, "n" | "mountName" | "form" | "diffId">): LayerPlace {
		const mountPoint = path.join(this.layout.mounts, mountNameOf(record));
		return { directory, mountPoint, form: record.form, diffId: record.diffId };
	}

	/** The file of the layer's holds. */
	holdsOf(record: Pick<LayerRecord, "n" | "mountName">): string {
		return holdsFile(this.layout, record);
	}

	/**
	 * The places of a layer and of what it stands on, nearest first.
	 * @throws {LamellaError} `ECORRUPT` where the data of one of them is missing
	 */
	placesFrom(record: LayerRecord): [LayerPlace, ...LayerPlace[]] {
		const chain = this.#below(record);
		this.mustBeThere([record, ...chain]);
		return [this.placeOf(record), ...chain.map((below) => this.placeOf(below))];
	}

	/**
	 * What a layer over `parent` stands on, nearest first, by the parent's fold where it has one.
	 * @throws {LamellaError} `ECORRUPT` where the data of one of them is missing
	 */
	placesOver(parent: LayerRecord): LayerPlace[] {
		const chain = this.chains.of(parent);
		this.mustBeThere(chain);
		return chain.map((below) => this.placeOf(below));
	}

	/** What a layer stands on, nearest first, whether the data is there or not. Nothing is read before it is asked for. */
	*placesBelow(record: LayerRecord): Iterable<LayerPlace> {
		for (const below of this.#below(record)) yield this.placeOf(below);
	}

	#below(record: LayerRecord): LayerRecord[] {
		const parent = parentOf(this.database, record);
		return parent === undefined ? [] : this.chains.of(parent);
	}

	/** @throws {LamellaError} `ECORRUPT` where the directory of one of a chain is missing */
	mustBeThere(chain: readonly LayerRecord[]): void {
		// The driver itself looks at the files of each packed layer below when it uses one.
		const fixed = chain.findIndex(({ form }) => hasFixedChain(form));
		const looked = fixed === -1 ? chain : chain.slice(0, fixed + 1);
		const missing = looked.find((each) => !existsSync(this.directoryOf(each)));
		// Where the record is gone too, the layer was removed meanwhile, which the caller notices.
		if (missing !== undefined && layerAt(this.database, missing.n) !== undefined) {
			throw new LamellaError("ECORRUPT", missingDirectory(this.layout, missing), { layer: missing.id });
		}
	}

	infoOf(record: LayerRecord): LayerInfo {
		return layerInfo(this.layout, record);
	}

	/**
	 * Runs `work` with the layer's lock, on the record as it is once the lock is held.
	 * @throws {LamellaError} `ENOTFOUND`
	 */
	async withLayer<R>(id: LayerId, work: (record: LayerRecord) => Promise<R>): Promise<R> {
		return await this.withLayers([id], ([record]) => work(record as LayerRecord));
	}

	/** As `withLayer`, with the locks of several: the records are in the order of `ids`. @throws {LamellaError} `ENOTFOUND` */
	async withLayers<R>(ids: readonly LayerId[], work: (records: LayerRecord[]) => Promise<R>): Promise<R> {
		for (;;) {
			const seen = layerRecords(this.database, ids);
			const directories = seen.map((record) => this.directoryOf(record));
			const outcome = await this.locks.withAll(directories, async () => {
				const records = layerRecords(this.database, ids);
				// While this waited for a lock, a layer may have been removed, and another one made of that id.
				const isSame = records.every(({ n }, i) => n === seen[i]?.n);
				return isSame ? { value: await work(records) } : undefined;
			});
			if (outcome !== undefined) return outcome.value;
		}
	}

	/**
	 * The one commit point of every operation: all that `work` changes is recorded, or nothing, and it is durable when the
	 * promise resolves. `work` is synchronous, and may run twice. What it removed is deleted from disk in the background.
	 */
	async transaction<R>(
		work: (transaction: StoreTransaction) => R,
		{ durable = true }: { readonly durable?: boolean | undefined } = {},
	): Promise<R> {
		// Before anything else: where the store is open for reading only, this throws.
		const { owner } = this;
		const records = new RecordChanges(this.database, this.layout);
		const changeAll = (): R => {
			records.clear();
			const result = work({
				records: (namespace) => records.writer(namespace),
				has: (id) => findLayer(this.database, id) !== undefined,
				get: (id) => {
					const record = findLayer(this.database, id);
					return record === undefined ? undefined : this.infoOf(record);
				},
				children: (id) => childrenOf(this.database, layerRecord(this.database, id)),
			});
			records.stageFiles(() => path.join(owner.directory, owner.nextName()));
			return result;
		};
		try {
			const result = await this.database.transaction(changeAll);
			this.deleteRemoved([...records.removed]);
			const directories = records.isEmpty
				? []
				: await this.locks.with(this.layout.records, () => records.placeFiles());
			if (durable) await Promise.all([this.database.flushed(), ...directories.map(flush)]);
			return result;
		} catch (error) {
			throw storeFailure(error, "record the change");
		} finally {
			records.removeStaged();
		}
	}

	/**
	 * Changes a layer's record, then its sidecar; durable when it resolves. Call it with the layer's lock. `flushWith` flushes
	 * the new sidecar, and whatever else has to be durable before the record changes. `change` makes the transaction's changes.
	 */
	async replaceRecord(
		after: LayerRecord,
		flushWith: (sidecar: string) => Promise<unknown> = flush,
		change: () => void = () => replaceLayer(this.database, after),
	): Promise<LayerRecord> {
		const staged = this.stagedPath();
		const directory = this.directoryOf(after);
		try {
			await writeSidecar(staged, after);
			await flushWith(staged);
			crashPoint("update:staged");
			await this.transaction(change, { durable: false });
			crashPoint("update:recorded");
			await rename(staged, sidecarOf(directory));
		} catch (error) {
			await rm(staged, { force: true });
			throw error;
		}
		await Promise.all([this.database.flushed(), flush(directory)]);
		return after;
	}

	/** Deletes a directory that is not recorded, in the background. A missing one is no error. */
	discard(directory: string): void {
		// A mount point cannot be deleted.
		unmountImage(directory);
		const trashed = path.join(this.layout.trash, this.owner.nextName());
		try {
			renameSync(directory, trashed);
		} catch (error) {
			if (errnoOf(error) === "ENOENT") return;
			throw error;
		}
		this.deleteTrash(trashed);
	}

	/** Takes back what an operation made under the name `n`, unless it was recorded after all. */
	takeBack(n: string): void {
		this.discard(path.join(this.owner.directory, n));
		if (layerAt(this.database, n) === undefined) this.discard(path.join(this.layout.layers, n));
	}

	/** Deletes a directory in trash/, in the background. */
	deleteTrash(trashed: string): void {
		this.#trash.push(trashed);
		this.#deleteLater();
	}

	/** Deletes documents, but for those that a record names. */
	async discardDocuments(digests: readonly Digest[]): Promise<void> {
		const paths = digests.map((digest) => path.relative(this.layout.root, documentPath(this.layout, digest)));
		await this.database.transaction(() => {
			for (const one of paths) this.database.run("INSERT OR IGNORE INTO removed VALUES (?)", one);
		});
		this.deleteRemoved(paths);
	}

	/** Deletes what a transaction removed, in the background: paths of the table `removed`. */
	deleteRemoved(paths: readonly string[]): void {
		for (const removed of paths) this.#removed.add(removed);
		if (paths.length > 0) this.#deleteLater();
	}

	async #moveToTrash(removed: string): Promise<void> {
		const trashed = path.join(this.layout.trash, this.owner.nextName());
		try {
			await rename(path.join(this.layout.root, removed), trashed);
			this.#trash.push(trashed);
		} catch (error) {
			// Somebody else who found the row moved it.
			if (errnoOf(error) !== "ENOENT") throw error;
		}
	}

	/** Starts deleting now, instead of after `BATCH_MS`. */
	deleteNow(): void {
		this.#deleteNow?.();
	}

	#deleteLater(): void {
		this.#deleteNow ??= this.background.later("delete what was removed", BATCH_MS, async () => {
			this.#deleteNow = undefined;
			const removed = [...this.#removed];
			this.#removed.clear();
			// A directory is not moved while a power cut could still bring its record back.
			if (removed.length > 0) await this.database.flushed();
			for (const one of removed) if (one.startsWith("layers/")) await this.#moveToTrash(one);
			crashPoint("remove:renamed");
			await this.jobs.run("remove", { paths: this.#trash.splice(0) });
			crashPoint("remove:deleted");
			// The rename has to be durable first: a power cut could bring the directory back, and no row would name it.
			if (removed.length === 0) return;
			await flush(this.layout.layers);
			await this.database.transaction(() => {
				for (const one of removed) {
					// Within the transaction, so that no record can begin to name the document meanwhile.
					if (one.startsWith("documents/")) deleteDocument(this.database, this.layout, path.basename(one));
					this.database.run("DELETE FROM removed WHERE path = ?", one);
				}
			});
		});
	}
}

/** What to say of a layer whose directory is gone. */
export function missingDirectory(layout: Layout, { id, n }: LayerRecord): string {
	const directory = path.join(layout.layers, n);
	return `the data of layer "${id}" is missing (${directory}); import its image again, or remove the layer`;
}
