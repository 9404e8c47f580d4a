/**
 * A MetaStore that shows some writes before they are in the database: those of operations that are answered early (see
 * the `early` options). Reads of this process see them at once; other processes once they are in the database.
 *
 * Early writes get into the database in the order in which they were shown, and before any transaction that was asked for
 * later: whatever stands on them finds them there.
 */
import { newGate } from "./gate.ts";
import type { MetaStore, MetaTable, MetaTransaction } from "./meta-store.ts";
import { overlaid, WriteBuffer, type Writes } from "./write-buffer.ts";

/** Writes that are shown and not yet recorded. */
interface Recording {
	/** The layers that they are about. */
	readonly ids: readonly string[];
	readonly writes: Writes;
	/** Begins what waits for its time. */
	readonly hurry: () => void;
	state: "waiting" | "begun" | "forgotten";
	/** Settles once the writes are in the database, or given up. Never rejects. */
	readonly settled: Promise<void>;
}

export interface EarlyOptions {
	/** What has to be done before the writes are recorded. */
	readonly before: () => Promise<unknown>;
	/**
	 * Recording waits for a moment, and for what else comes meanwhile, unless somebody needs it sooner: what the caller does
	 * next (containerd records the snapshot in a database of its own) does not have to wait for our flushes then.
	 */
	readonly unhurried?: boolean | undefined;
}

const MOMENT_MS = 250;

export class EarlyMeta implements MetaStore {
	readonly #inner: MetaStore;
	/** In the order in which they were shown. */
	readonly #recordings = new Set<Recording>();
	/** Settles when the database has been handed all that is early now. */
	#handedOver: Promise<void> = Promise.resolve();
	/** What the unhurried ones wait for. */
	#moment: Moment | undefined;

	constructor(inner: MetaStore) {
		this.#inner = inner;
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
			for (const { hurry } of this.#recordings) hurry();
			await this.#handedOver;
		}
		return await this.#inner.transaction(work);
	}

	/**
	 * Shows what `work` writes about the layers `ids` from now on, and runs it as a transaction, after `before`. Throws what
	 * `work` throws now; the promise that it returns rejects where one of the two fails later, and nothing is shown any more.
	 */
	early(
		ids: readonly string[],
		work: (transaction: MetaTransaction) => void,
		{ before, unhurried = false }: EarlyOptions,
	): Promise<void> {
		const buffer = new WriteBuffer(this);
		work(buffer);
		const moment = unhurried ? this.#joinMoment() : undefined;
		const predecessors = this.#handedOver;
		const handedOver = newGate();
		// Whoever comes later waits for those before, too, where this one is forgotten or fails.
		this.#handedOver = predecessors.then(() => handedOver.promise);
		const record = async (): Promise<void> => {
			try {
				await moment?.over;
				if (recording.state === "forgotten") return;
				recording.state = "begun";
				await before();
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
		const hurry = moment?.end ?? (() => undefined);
		const recording: Recording = { ids, writes: buffer.writes, hurry, settled, state: "waiting" };
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
		for (const { hurry } of waited) hurry();
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

	/** One flush of the journal and of the database does for all that wait for the same moment. */
	#joinMoment(): Moment {
		if (this.#moment !== undefined) return this.#moment;
		const gate = newGate();
		const end = (): void => {
			clearTimeout(timer);
			if (this.#moment === moment) this.#moment = undefined;
			gate.open();
		};
		const moment: Moment = { over: gate.promise, end };
		const timer = setTimeout(end, MOMENT_MS);
		this.#moment = moment;
		return moment;
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

interface Moment {
	readonly over: Promise<void>;
	readonly end: () => void;
}
