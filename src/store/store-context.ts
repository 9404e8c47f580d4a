/** What every operation of the store works with, and the few moves that they share. */
import { existsSync, renameSync } from "node:fs";
import { open } from "node:fs/promises";
import path from "node:path";
import type { Driver, LayerPlace } from "../driver/index.ts";
import type { JobPool } from "../jobs/index.ts";
import type { LayerJobs } from "../layer/index.ts";
import type { Background } from "./background.ts";
import { chainOf, childrenOf, layerRecord, placeOf, replaceLayer } from "./catalog.ts";
import type { FlattenPolicy, LayerId, LayerInfo, RecordsWriter, StoreTransaction } from "./contract.ts";
import { crashPoint } from "./crash-point.ts";
import type { EarlyMeta } from "./early-meta.ts";
import { errnoOf } from "./failure.ts";
import type { LayerLocks } from "./layer-locks.ts";
import type { Layout } from "./layout.ts";
import type { MetaTransaction } from "./meta-store.ts";
import { mountNamespace, readHold } from "./mount-holds.ts";
import type { Owner } from "./owner.ts";
import type { Pending, PendingWork, SettledWork } from "./pending.ts";
import type { Promises } from "./promises.ts";
import { recordDirectory, writeRecordFile } from "./record-files.ts";
import { recordPath } from "./records.ts";
import type { LayerRecord } from "./schema.ts";
import { publishSidecar, stageSidecar } from "./sidecar.ts";
import type { Spares } from "./spares.ts";

/** What is removed within so long is deleted by one job, and what is renamed is flushed by one. */
const BATCH_MS = 50;

export interface StoreParts {
	readonly layout: Layout;
	readonly meta: EarlyMeta;
	readonly driver: Driver;
	readonly jobs: JobPool<LayerJobs>;
	readonly owner: Owner;
	readonly locks: LayerLocks;
	readonly background: Background;
	readonly pending: Pending;
	readonly promises: Promises;
	readonly spares: Spares;
	readonly flattenPolicy: FlattenPolicy;
	/** Fires when the store closes: background work that can be done another time stops then. */
	readonly closing: AbortSignal;
}

/** A transaction with what it leaves to be done in the filesystem. */
export interface StoreWork extends StoreTransaction {
	readonly meta: MetaTransaction;
	/** Notes work for after the transaction; see pending.ts. Returns the token. */
	note(work: PendingWork): string;
}

export class StoreContext {
	readonly layout: Layout;
	readonly meta: EarlyMeta;
	readonly driver: Driver;
	readonly jobs: JobPool<LayerJobs>;
	readonly owner: Owner;
	readonly locks: LayerLocks;
	readonly background: Background;
	readonly pending: Pending;
	readonly promises: Promises;
	readonly spares: Spares;
	readonly flattenPolicy: FlattenPolicy;
	readonly closing: AbortSignal;
	/** What is to be deleted next. */
	readonly #trash: string[] = [];
	readonly #unflushed: {
		readonly work: PendingWork;
		readonly token: string;
		readonly paths: readonly string[];
	}[] = [];
	#deleteNow: () => void = () => undefined;

	constructor(parts: StoreParts) {
		this.layout = parts.layout;
		this.meta = parts.meta;
		this.driver = parts.driver;
		this.jobs = parts.jobs;
		this.owner = parts.owner;
		this.locks = parts.locks;
		this.background = parts.background;
		this.pending = parts.pending;
		this.promises = parts.promises;
		this.spares = parts.spares;
		this.flattenPolicy = parts.flattenPolicy;
		this.closing = parts.closing;
	}

	directoryOf(record: LayerRecord): string {
		return path.join(this.layout.layers, record.n);
	}

	placeOf(record: LayerRecord): LayerPlace {
		return placeOf(this.layout, record);
	}

	/** The places below a layer, nearest first. */
	placesBelow(record: LayerRecord): LayerPlace[] {
		return chainOf(this.meta, record).map((below) => this.placeOf(below));
	}

	infoOf(record: LayerRecord): LayerInfo {
		const directory = this.directoryOf(record);
		let mountCount: number | undefined;
		return {
			id: record.id,
			parent: record.parent,
			kind: record.kind,
			labels: record.labels,
			createdAtMs: record.createdAtMs,
			updatedAtMs: record.updatedAtMs,
			diffId: record.diffId,
			usage: record.usage,
			flattened: record.flattened,
			depth: record.depth,
			directory,
			// Asks the filesystem, and hardly anybody asks for it.
			get mountCount() {
				mountCount ??= readHold(directory, mountNamespace())?.count ?? 0;
				return mountCount;
			},
		};
	}

	/**
	 * Runs `work` with the layer's record and its lock; the record is what every process has committed by then. With `early`
	 * it may be that of a new layer, which only this process knows yet.
	 * @throws {LamellaError} `ENOTFOUND`
	 */
	async withLayer<R>(
		id: LayerId,
		work: (record: LayerRecord) => Promise<R>,
		{ early = false }: { readonly early?: boolean | undefined } = {},
	): Promise<R> {
		for (;;) {
			if (!early || !this.meta.isForgettable(id)) await this.meta.recorded(id);
			const seen = layerRecord(this.meta, id);
			const outcome = await this.locks.with(this.directoryOf(seen), async () => {
				this.meta.refresh();
				const record = this.meta.get<LayerRecord>("layers", id);
				// Removed, or another layer by now, while we waited for the lock.
				return record?.n === seen.n ? { value: await work(record) } : undefined;
			});
			if (outcome !== undefined) return outcome.value;
		}
	}

	/** A durable transaction; the files of the records that it changed are written before it resolves. */
	async transaction<R>(work: (transaction: StoreWork) => R): Promise<R> {
		const records = new Map<PendingWork, { namespace: string; key: string; token: string }>();
		let settled: SettledWork = [];
		const result = await this.meta.transaction((meta) => {
			settled = this.pending.settle(meta);
			const note = (pending: PendingWork): string => this.pending.note(meta, pending);
			return work({
				meta,
				note,
				records: <T>(namespace: string) =>
					recordsWriter<T>(meta, namespace, (key) => {
						const pending: PendingWork = `record/${recordPath(namespace, key)}`;
						records.set(pending, { namespace, key, token: note(pending) });
					}),
				has: (id) => meta.get("layers", id) !== undefined,
				get: (id) => {
					const record = meta.get<LayerRecord>("layers", id);
					return record === undefined ? undefined : this.infoOf(record);
				},
				children: (id) => childrenOf(meta, layerRecord(meta, id)),
			});
		});
		this.pending.forget(settled);
		for (const [pending, { namespace, key, token }] of records) {
			await this.writeRecordFile(namespace, key);
			this.doneOnceFlushed(pending, token, [recordDirectory(this.layout, namespace), this.layout.records]);
		}
		return result;
	}

	/** Writes a record's file as the record is now. */
	async writeRecordFile(namespace: string, key: string): Promise<void> {
		// Under a lock, so that of two processes the one that writes last has read last.
		await this.locks.with(this.layout.records, async () => {
			this.meta.refresh();
			const value = this.meta.get<unknown>("records", recordPath(namespace, key));
			await writeRecordFile(this.layout, namespace, key, { value, temporaryName: this.owner.nextName() });
		});
	}

	/** Changes a layer's record and its sidecar. Call it with the layer's lock. */
	async replaceRecord(before: LayerRecord, after: LayerRecord): Promise<LayerRecord> {
		const directory = this.directoryOf(before);
		await stageSidecar(directory, after, { flush: true });
		crashPoint("update:written");
		const pending: PendingWork = `sidecar/${before.n}`;
		const token = await this.transaction(({ meta, note }) => {
			layerRecord(meta, before.id);
			replaceLayer(meta, before, after);
			return note(pending);
		});
		crashPoint("update:recorded");
		await publishSidecar(directory);
		this.doneOnceFlushed(pending, token, [directory]);
		return after;
	}

	/** Moves a directory to trash and deletes it in the background. What is not there is no error. */
	discard(directory: string): void {
		const trashed = this.moveToTrash(directory);
		if (trashed !== undefined) this.deleteTrash(trashed);
	}

	/** Returns where it went; undefined where there was nothing. */
	moveToTrash(directory: string): string | undefined {
		const trashed = path.join(this.layout.trash, this.owner.nextName());
		try {
			renameSync(directory, trashed);
			return trashed;
		} catch (error) {
			if (errnoOf(error) === "ENOENT") return undefined;
			throw error;
		}
	}

	deleteTrash(trashed: string): void {
		this.#trash.push(trashed);
		if (this.#trash.length > 1) return;
		this.#deleteNow = this.background.later("delete what was removed", BATCH_MS, async () => {
			await this.jobs.run("remove", { paths: this.#trash.splice(0) });
			crashPoint("remove:deleted");
		});
	}

	/**
	 * Pending work was done by a rename: it is to be forgotten, but not before `paths`, the directories of both names, are
	 * flushed. A power cut may undo the rename until then.
	 */
	doneOnceFlushed(work: PendingWork, token: string, paths: readonly string[]): void {
		this.#unflushed.push({ work, token, paths });
		if (this.#unflushed.length > 1) return;
		this.background.later("flush what was renamed", BATCH_MS, async () => {
			const unflushed = this.#unflushed.splice(0);
			// A layer that is gone by now has no sidecar that could be wrong.
			const all = new Set(unflushed.flatMap(({ paths }) => paths).filter((path) => existsSync(path)));
			try {
				await this.jobs.run("flush", { trees: [], paths: [...all] });
			} catch (error) {
				if ([...all].every((path) => existsSync(path))) throw error;
				// Gone in between: once more.
				for (const one of unflushed) this.doneOnceFlushed(one.work, one.token, one.paths);
				return;
			}
			for (const { work, token } of unflushed) this.pending.done(work, token);
		});
	}

	/** Begins to delete at once what is in the trash. */
	deleteTrashNow(): void {
		this.#deleteNow();
	}
}

/** fsync of a file or directory, on a thread of Node's pool. */
export async function flush(file: string): Promise<void> {
	const handle = await open(file, "r");
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}

function recordsWriter<T>(
	meta: MetaTransaction,
	namespace: string,
	changed: (key: string) => void,
): RecordsWriter<T> {
	const prefix = recordPath(namespace, "");
	return {
		get: (key) => meta.get<T>("records", recordPath(namespace, key)),
		list: () =>
			[...meta.entries<T>("records", prefix)].map(([key, value]) => [key.slice(prefix.length), value]),
		put: (key, value) => {
			meta.put("records", recordPath(namespace, key), value);
			changed(key);
		},
		remove: (key) => {
			meta.remove("records", recordPath(namespace, key));
			changed(key);
		},
	};
}
