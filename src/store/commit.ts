/**
 * Commit: a change of kind. The data is flushed, the record changes, and what only a writable layer needs goes away.
 */

import { renameSync } from "node:fs";
import path from "node:path";
import { LamellaError } from "../errors/index.ts";
import type { Note, Usage } from "../layer/index.ts";
import { mustBeFree, replaceLayer } from "./catalog.ts";
import type { CommitOptions, LayerId } from "./contract.ts";
import { crashPoint } from "./crash-point.ts";
import { storeFailure } from "./failure.ts";
import { discardStaleRoot, flattenLater, makeRoot } from "./flattening.ts";
import type { MetaTransaction } from "./meta-store.ts";
import { mustBeUnmounted } from "./mounting.ts";
import type { PendingWork } from "./pending.ts";
import type { Promised } from "./promises.ts";
import type { LayerRecord } from "./schema.ts";
import { publishSidecar, stageSidecar, stageSidecarNow } from "./sidecar.ts";
import type { StoreContext } from "./store-context.ts";
import { countUsageLater } from "./usage.ts";

export async function commitLayer(
	store: StoreContext,
	key: LayerId,
	name: LayerId,
	options: CommitOptions,
): Promise<LayerRecord> {
	const committed = await store.background.answering<LayerRecord>(
		`record the commit of layer "${key}"`,
		(answer) =>
			store.withLayer(
				key,
				async (record) => {
					mustBeActive(record);
					if (name !== key) mustBeFree(store.meta, name);
					mustBeUnmounted(store, record, "commit");
					try {
						await commitRecord(store, record, { name, options, answer });
					} catch (error) {
						throw storeFailure(error, `commit layer "${key}"`, key);
					}
				},
				{ early: options.early },
			),
	);
	if (committed.usage === undefined) countUsageLater(store, committed);
	if (options.flatten !== false) flattenLater(store, committed);
	return committed;
}

function mustBeActive({ id, kind }: LayerRecord): void {
	if (kind === "active") return;
	const hint = kind === "view" ? "a view has nothing of its own" : "it was committed before";
	throw new LamellaError("EKIND", `layer "${id}" is ${kind} and cannot be committed: ${hint}`, { layer: id });
}

interface Commit {
	readonly name: LayerId;
	readonly options: CommitOptions;
	/** Called once the commit is durable. */
	readonly answer: (after: LayerRecord) => void;
}

async function commitRecord(
	store: StoreContext,
	record: LayerRecord,
	{ name, options: { labels, flatten = true, early, signal }, answer }: Commit,
): Promise<void> {
	const directory = store.directoryOf(record);
	const place = store.placeOf(record);
	const nowMs = Date.now();
	discardStaleRoot(store, record);
	let flattened = false;
	if (flatten && store.flattenPolicy === "always" && store.driver.flattens) {
		const staged = path.join(store.owner.directory, store.owner.nextName());
		try {
			const chain = store.placesBelow(record);
			await makeRoot(store, { layer: place, chain, target: staged, sync: false }, { signal });
			renameSync(staged, path.join(directory, "root"));
		} finally {
			store.discard(staged);
		}
		flattened = true;
		crashPoint("commit:flattened");
	}
	const after: LayerRecord = {
		...record,
		id: name,
		kind: "committed",
		labels: labels ?? {},
		createdAtMs: nowMs,
		updatedAtMs: nowMs,
		usage: undefined,
		diffId: undefined,
		flattened,
		mountLabel: undefined,
	};
	const promised = early === true ? store.promises.make(after, record.id) : undefined;
	if (promised === undefined) {
		await stageSidecar(directory, after, { flush: false });
		await store.jobs.run("sync", { path: directory }, { signal });
		crashPoint("commit:synced");
		await finishCommit(store, after, (pending) =>
			store.transaction(({ meta, note }) => {
				replaceLayer(meta, record, after);
				return note(pending);
			}),
		);
		answer(after);
		return;
	}
	await commitByPromise(store, record, after, { promised, answer, signal });
}

/** As far as `answer` a failure leaves nothing of the commit; after it the promise is for whoever opens the store next. */
async function commitByPromise(
	store: StoreContext,
	record: LayerRecord,
	after: LayerRecord,
	{
		promised,
		answer,
		signal,
	}: { promised: Promised; answer: Commit["answer"]; signal: AbortSignal | undefined },
): Promise<void> {
	let answered = false;
	try {
		const { note, keep } = promised;
		const { trees, usage } = await promise(store, record, { flattened: after.flattened, note, signal });
		crashPoint("commit:promised");
		const committed = { ...after, usage };
		await keepPromise(store, record, committed, {
			trees,
			keep,
			answer: () => {
				answered = true;
				answer(committed);
			},
		});
	} catch (error) {
		if (answered) throw error;
		await store.jobs.run("withdrawNote", promised.note);
		promised.release();
		throw error;
	}
	promised.release();
}

interface Promising {
	/** Directories that are to be flushed yet: what they hold is in the promise. */
	readonly trees: readonly string[];
	readonly usage?: Usage | undefined;
}

/** Makes the promise durable, and what it is about. */
async function promise(
	store: StoreContext,
	record: LayerRecord,
	{ flattened, note, signal }: { flattened: boolean; note: Note; signal: AbortSignal | undefined },
): Promise<Promising> {
	const trees = store.driver.ownDirectories(store.placeOf(record));
	const [directory, ...more] = trees;
	if (!flattened && directory !== undefined && more.length === 0) {
		const usage = await store.jobs.run("noteTree", { directory, note }, { signal });
		if (usage !== undefined) return { trees, usage };
	}
	if (flattened || !store.meta.isRecorded(record.id)) {
		// There is more to flush than what the layer holds: its root, or of an early one its place.
		await store.jobs.run("sync", { path: store.directoryOf(record), note }, { signal });
	} else {
		await store.jobs.run("syncTrees", { directories: trees, note }, { signal });
	}
	return { trees: [] };
}

interface Keeping {
	/** What of the layer is not flushed yet. */
	readonly trees?: readonly string[] | undefined;
	/** Part of the transaction: says that the promise is kept. */
	readonly keep: (transaction: MetaTransaction) => void;
	readonly answer?: (() => void) | undefined;
}

/**
 * Records a commit that is durable already: see promises.ts. It is shown, and `answer` called, at once.
 * @throws {LamellaError} where the name is taken by now
 */
export async function keepPromise(
	store: StoreContext,
	record: LayerRecord,
	after: LayerRecord,
	{ trees = [], keep, answer }: Keeping,
): Promise<void> {
	await finishCommit(store, after, async (pending) => {
		let token = "";
		const recorded = store.meta.early(
			[record.id, after.id],
			(meta) => {
				replaceLayer(meta, record, after);
				keep(meta);
				token = store.pending.note(meta, pending);
			},
			() => ({ trees, paths: [stageSidecarNow(store.directoryOf(after), after)] }),
		);
		answer?.();
		await recorded;
		return token;
	});
}

/** Records a commit, and does what is left of it in the filesystem. `record` returns the token of the pending work. */
async function finishCommit(
	store: StoreContext,
	after: LayerRecord,
	record: (pending: PendingWork) => Promise<string>,
): Promise<void> {
	const pending: PendingWork = `sidecar/${after.n}`;
	const token = await record(pending);
	crashPoint("commit:recorded");
	await publishSidecar(store.directoryOf(after));
	store.driver.finishCommit(store.placeOf(after));
	store.doneOnceFlushed(pending, token, [store.directoryOf(after)]);
	crashPoint("commit:finished");
}
