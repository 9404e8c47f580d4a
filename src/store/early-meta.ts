/**
 * A MetaStore that shows some writes before they are in the database: those of operations that are answered early (see
 * the `early` options). Reads of this process see them at once; other processes once they are in the database.
 *
 * Early writes get into the database in the order in which they were shown, and before any transaction that was asked for
 * later: whatever stands on them finds them there.
 */
import type { FlushRequest } from "../layer/index.ts";
import { newGate } from "./gate.ts";
import type { MetaStore, MetaTable, MetaTransaction } from "./meta-store.ts";
import { overlaid, WriteBuffer, type Writes } from "./write-buffer.ts";

/** Writes that are shown and not yet recorded. */
interface Recording {
	/** The layers that they are about. */
	readonly ids: readonly string[];
	readonly writes: Writes;
	/** The moment that they wait for. */
	readonly moment: Moment;
	/** What has to be done, and flushed, before they are recorded. */
	readonly prepare: () => FlushRequest;
	state: "waiting" | "begun" | "forgotten";
	/** Settles once the writes are in the database, or given up. Never rejects. */
	readonly settled: Promise<void>;
}

/** Nothing to do before. */
export const NOTHING_TO_FLUSH: FlushRequest = { trees: [], paths: [] };

/**
 * Recording waits for so long, and for what else comes meanwhile, unless somebody needs it sooner: what the caller does
 * next (containerd records the snapshot in a database of its own) does not have to wait for our flushes then.
 */
const MOMENT_MS = 250;

export class EarlyMeta implements MetaStore {
	readonly #inner: MetaStore;
	readonly #flush: (request: FlushRequest) => Promise<unknown>;
	/** In the order in which they were shown. */
	readonly #recordings = new Set<Recording>();
	/** Settles when the database has been handed all that is early now. */
	#handedOver: Promise<void> = Promise.resolve();
	/** What those that come now wait for. */
	#moment: Moment | undefined;

	constructor(inner: MetaStore, flush: (request: FlushRequest) => Promise<unknown>) {
		this.#inner = inner;
		this.#flush = flush;
	}

	get<V>(table: MetaTable, key: string): V | undefined {
		let isShown = false;
		let value: unknown;
		// Of two writes to a key the later one.
		for (const { writes } of this.#recordings) {
			const own = writes.get(table);
			if (own?.has(key) !== true) continue;
			isShown = true;
			value = own.get(key);
		}
		return isShown ? (value as V | undefined) : this.#inner.get<V>(table, key);
	}

	entries<V>(table: MetaTable, prefix = ""): Iterable<readonly [string, V]> {
		return overlaid(this.#inner.entries<V>(table, prefix), this.#shown(table), prefix);
	}

	refresh(): void {
		this.#inner.refresh();
	}

	async transaction<R>(work: (transaction: MetaTransaction) => R): Promise<R> {
		if (this.#recordings.size > 0) {
			for (const { moment } of this.#recordings) moment.end();
			await this.#handedOver;
		}
		return await this.#inner.transaction(work);
	}

	/**
	 * Shows what `work` writes about the layers `ids` from now on, and runs it as a transaction later, after what `prepare`
	 * does and asks to be flushed. Throws what `work` throws now; the promise that it returns rejects where something fails
	 * later, and nothing is shown any more.
	 */
	early(
		ids: readonly string[],
		work: (transaction: MetaTransaction) => void,
		prepare: () => FlushRequest = () => NOTHING_TO_FLUSH,
	): Promise<void> {
		const buffer = new WriteBuffer(this);
		work(buffer);
		this.#moment ??= new Moment(this.#flush, (ended) => {
			if (this.#moment === ended) this.#moment = undefined;
		});
		const moment = this.#moment;
		const predecessors = this.#handedOver;
		const handedOver = newGate();
		// Whoever comes later waits for those before, too, where this one is forgotten or fails.
		this.#handedOver = predecessors.then(() => handedOver.promise);
		const record = async (): Promise<void> => {
			try {
				await moment.over;
				if (recording.state === "forgotten") return;
				await moment.flushed(recording);
				await predecessors;
				const recorded = this.#inner.transaction(work);
				handedOver.open();
				await recorded;
				this.#inner.refresh();
			} finally {
				handedOver.open();
				this.#recordings.delete(recording);
			}
		};
		const recorded = record();
		const settled = recorded.catch(() => undefined);
		const recording: Recording = { ids, writes: buffer.writes, moment, prepare, settled, state: "waiting" };
		moment.join(recording);
		this.#recordings.add(recording);
		return recorded;
	}

	/**
	 * Takes back what was shown of a layer, where it is one write and nothing has been done for it yet; returns whether.
	 * Nothing that is early may stand on it.
	 */
	forget(id: string): boolean {
		const recording = this.#onlyWaiting(id);
		if (recording === undefined) return false;
		recording.state = "forgotten";
		this.#recordings.delete(recording);
		return true;
	}

	/** Whether `forget` could still take back what is shown of a layer. */
	isForgettable(id: string): boolean {
		return this.#onlyWaiting(id) !== undefined;
	}

	/** Whether all that is shown of a layer is in the database. */
	isRecorded(id: string): boolean {
		return ![...this.#recordings].some(({ ids }) => ids.includes(id));
	}

	/** Sees to it that what is early about a layer is recorded now, and waits for it. */
	async recorded(id: string): Promise<void> {
		const all = [...this.#recordings];
		const last = all.findLastIndex(({ ids }) => ids.includes(id));
		const waited = all.slice(0, last + 1);
		// Those before it, too: it is recorded after them.
		for (const { moment } of waited) moment.end();
		await Promise.all(waited.map(({ settled }) => settled));
	}

	close(): Promise<void> {
		return this.#inner.close();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	#onlyWaiting(id: string): Recording | undefined {
		const [recording, ...more] = [...this.#recordings].filter(({ ids }) => ids.includes(id));
		const only = more.length === 0 && recording?.ids.length === 1;
		return only && recording.state === "waiting" ? recording : undefined;
	}

	/** What is shown in a table; of two writes to a key the later one. */
	#shown(table: MetaTable): ReadonlyMap<string, unknown> | undefined {
		if (this.#recordings.size === 0) return undefined;
		const shown = new Map<string, unknown>();
		for (const { writes } of this.#recordings) {
			for (const [key, value] of writes.get(table) ?? []) shown.set(key, value);
		}
		return shown;
	}
}

/** What is flushed and recorded together: one flush of the journal and of the database does for all. */
class Moment {
	/** Resolves when there is no more waiting. */
	readonly over: Promise<void>;
	readonly #open: () => void;
	readonly #flush: (request: FlushRequest) => Promise<unknown>;
	readonly #onEnd: (moment: Moment) => void;
	readonly #timer: NodeJS.Timeout;
	readonly #recordings: Recording[] = [];
	/** What each asked to be flushed, or why it could not be prepared. */
	readonly #prepared = new Map<Recording, FlushRequest | { readonly failure: unknown }>();
	#flushed: Promise<unknown> | undefined;

	constructor(flush: (request: FlushRequest) => Promise<unknown>, onEnd: (moment: Moment) => void) {
		const gate = newGate();
		this.over = gate.promise;
		this.#open = gate.open;
		this.#flush = flush;
		this.#onEnd = onEnd;
		this.#timer = setTimeout(() => this.end(), MOMENT_MS);
	}

	join(recording: Recording): void {
		this.#recordings.push(recording);
	}

	/** Begins what waits. Again is harmless. */
	end(): void {
		if (this.#flushed !== undefined) return;
		clearTimeout(this.#timer);
		this.#onEnd(this);
		const trees: string[] = [];
		const paths = new Set<string>();
		for (const recording of this.#recordings) {
			if (recording.state !== "waiting") continue;
			recording.state = "begun";
			try {
				const request = recording.prepare();
				this.#prepared.set(recording, request);
				trees.push(...request.trees);
				for (const path of request.paths) paths.add(path);
			} catch (failure) {
				this.#prepared.set(recording, { failure });
			}
		}
		this.#flushed =
			trees.length + paths.size > 0 ? this.#flush({ trees, paths: [...paths] }) : Promise.resolve();
		// Each hears of it by `flushed`.
		this.#flushed.catch(() => undefined);
		this.#open();
	}

	/** Resolves when what the recording needs is flushed. */
	async flushed(recording: Recording): Promise<void> {
		const prepared = this.#prepared.get(recording) ?? NOTHING_TO_FLUSH;
		if ("failure" in prepared) throw prepared.failure;
		try {
			await this.#flushed;
		} catch {
			// Of several, one fails all: each finds out what became of its own.
			await this.#flush(prepared);
		}
	}
}
