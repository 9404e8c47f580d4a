/**
 * Making committed layers from layer tars: each layer of a chain is made aside in a directory of its own, side by
 * side with the others; then all are flushed at once, renamed bottom first, and recorded in one transaction.
 *
 * A layer whose entries need something of a layer below (a hard link, a parent directory that its tar does not
 * have) waits within its job until those below are whole: see ApplyTarget.lowersReady. A driver whose layers are
 * whole trees (vfs) copies the parent's tree first, so there they go one after the other.
 */
import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { isFlattened, type LayerForm, type LayerPlace, type PreparedApply } from "../../driver/index.ts";
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import { type ApplyResult, type LayerSource, LOWERS_FAILED, LOWERS_WHOLE } from "../../layer/index.ts";
import * as linux from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import type { ChainLayer, FetchedSource, ImportChainOptions, ImportedLayer, LayerId } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { committedParent, findLayer, insertLayer, mustBeFree } from "../database/layers.ts";
import { flush } from "../disk/flush.ts";
import { sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { flattenLater, foldOf } from "./flattening.ts";
import { type StreamSource, sourceFromStream } from "./pipes.ts";
import { Turns } from "./turns.ts";

/** Starting one more thread costs as much as digesting some dozen megabytes. */
const LARGE_BYTES = 32 << 20;
/** A part of what each processor would have if all bytes were shared out evenly. */
const LARGE_SHARE = 0.8;

/** Layers that are fetched side by side: each has a connection, and a thread that inflates it. */
const FETCHES = Math.min(8, Math.max(4, availableParallelism()));

/** A layer of the chain on its way. */
interface Coming {
	readonly index: number;
	readonly layer: ChainLayer;
	readonly n: string;
	readonly staged: string;
	readonly digestAside: boolean;
	/** Known once it is staged. */
	form?: LayerForm | undefined;
	fold?: LayerRecord["fold"];
	applied?: ApplyResult | undefined;
	record?: LayerRecord | undefined;
}

export async function importChain(
	store: StoreContext,
	layers: readonly ChainLayer[],
	options: ImportChainOptions,
): Promise<ImportedLayer[]> {
	// A stream may fail before a job reads it; the import then hears of it from the job.
	for (const { source } of layers) if (source instanceof Readable) source.on("error", () => undefined);
	const { missing, parent } = whatIsMissing(store, layers, options);
	const below = parent === undefined ? [] : store.placesOver(parent);
	const coming: Coming[] = missing.map(({ index, layer }) => {
		const n = store.owner.nextName();
		const staged = path.join(store.owner.directory, n);
		return { index, layer, n, staged, digestAside: isLarge(layer, missing) };
	});
	try {
		await applyAll(store, coming, below, options);
		crashPoint("import:applied");
		await flattenAll(store, coming, below, options);
		crashPoint("import:flattened");
		await writeRecords(store, coming, parent);
		const also = coming.flatMap(({ staged }) => [sidecarOf(staged), staged]);
		const running = { signal: options.signal };
		await Promise.all([
			prime(store, coming, below, options),
			store.driver.sealApplied(
				coming.map((one) => placeOf(store, one)),
				also,
				running,
			),
		]);
		crashPoint("import:synced");
		for (const { staged, n } of coming) {
			const directory = path.join(store.layout.layers, n);
			linux.renameat2(linux.AT_FDCWD, staged, linux.AT_FDCWD, directory, linux.RENAME_NOREPLACE);
		}
		if (coming.length > 0) await flush(store.layout.layers);
		crashPoint("import:renamed");
		const unneeded = await store.transaction((transaction) => {
			const known = recordAll(store, coming, parent, options);
			options.also?.(transaction);
			return known;
		});
		crashPoint("import:recorded");
		for (const { n } of unneeded) store.discard(path.join(store.layout.layers, n));
	} catch (error) {
		for (const { n } of coming) store.takeBack(n);
		const about = coming.length === 1 ? `layer "${coming[0]?.layer.id}"` : "the image's layers";
		throw storeFailure(error, `apply ${about}`, coming.length === 1 ? coming[0]?.layer.id : undefined);
	}
	return results(store, layers, coming);
}

/** Layers at the bottom that are there already are stood on; the rest has to be made. */
function whatIsMissing(
	store: StoreContext,
	layers: readonly ChainLayer[],
	options: ImportChainOptions,
): { missing: { index: number; layer: ChainLayer }[]; parent: LayerRecord | undefined } {
	let parent = options.parent === undefined ? undefined : committedParent(store.database, options.parent);
	let known = 0;
	for (const { id } of layers) {
		const there = options.keepExisting === true ? findLayer(store.database, id) : undefined;
		if (there === undefined || there.kind !== "committed" || there.parent !== parent?.id) break;
		parent = there;
		known += 1;
	}
	const missing = layers.map((layer, index) => ({ index, layer })).slice(known);
	for (const { layer } of missing) if (options.keepExisting !== true) mustBeFree(store.database, layer.id);
	if (new Set(missing.map(({ layer }) => layer.id)).size < missing.length) {
		throw new LamellaError(
			"EINVALID",
			"the chain that is to be imported has the same layer id twice; each layer needs its own",
		);
	}
	return { missing, parent };
}

/** Whether a layer is so much of the whole that the others leave processors idle before it is done. */
function isLarge(layer: ChainLayer, missing: readonly { readonly layer: ChainLayer }[]): boolean {
	const sizeOf = ({ source }: ChainLayer): number => ("sizeBytes" in source ? source.sizeBytes : 0);
	const totalBytes = missing.reduce((sum, { layer }) => sum + sizeOf(layer), 0);
	return sizeOf(layer) >= LARGE_BYTES && sizeOf(layer) * availableParallelism() > totalBytes * LARGE_SHARE;
}

async function applyAll(
	store: StoreContext,
	coming: readonly Coming[],
	below: readonly LayerPlace[],
	options: ImportChainOptions,
): Promise<void> {
	const stop = new AbortController();
	const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
	const failures: unknown[] = [];
	const running: Promise<boolean>[] = [];
	const fetches = new Turns(FETCHES);
	for (const [position, one] of coming.entries()) {
		const chain = [...stagedBelow(store, coming, position), ...below];
		const lowersWhole = Promise.all(running).then((all) => all.every(Boolean));
		// Whole trees are copied from the parent's: there is nothing to do before it is whole.
		if (!store.driver.appliesSideBySide && !(await lowersWhole)) break;
		const failed = (error: unknown): false => {
			failures.push(aboutLayer(error, one.layer.id));
			stop.abort();
			return false;
		};
		// One after the other: a job waits for those below it, so it must not come before them in the pool's queue.
		const prepared = await stage(store, one, chain).catch(failed);
		if (prepared === false) break;
		one.form = prepared.form;
		const how = { prepared, lowersWhole, waitsForLowers: position > 0, signal, options };
		// Turns come bottom first: a layer that waits for those below it never keeps them from theirs.
		const applying = isFetched(one.layer.source)
			? fetches.inTurn(() => applyOne(store, one, how))
			: applyOne(store, one, how);
		running.push(applying.then(() => true, failed));
	}
	await Promise.all(running);
	// The first failure: the others were only cancelled because of it.
	if (failures.length > 0) throw failures.find((error) => !isLamellaError(error, "EABORTED")) ?? failures[0];
}

/** The job does not know whose tar it reads; the rooms above tell people which layer of an image it was. */
function aboutLayer(error: unknown, layer: LayerId): unknown {
	if (!isLamellaError(error) || error.layer !== undefined) return error;
	const { code, message, path, cause } = error;
	return new LamellaError(code, message, { layer, path, cause: cause ?? error });
}

async function stage(
	store: StoreContext,
	{ staged }: Coming,
	chain: readonly LayerPlace[],
): Promise<PreparedApply> {
	await mkdir(staged, { mode: 0o710 });
	const prepared = await store.driver.prepareApply(staged, chain);
	crashPoint("import:staged");
	return prepared;
}

interface ApplyOne {
	readonly prepared: PreparedApply;
	readonly lowersWhole: Promise<boolean>;
	readonly waitsForLowers: boolean;
	readonly signal: AbortSignal;
	readonly options: ImportChainOptions;
}

async function applyOne(store: StoreContext, one: Coming, how: ApplyOne): Promise<void> {
	const { layer, index } = one;
	const { options } = how;
	await using prepared = how.prepared;
	const { target } = prepared;
	const lowersReady = new SharedArrayBuffer(4);
	void how.lowersWhole.then((whole) => {
		const state = new Int32Array(lowersReady);
		Atomics.store(state, 0, whole ? LOWERS_WHOLE : LOWERS_FAILED);
		Atomics.notify(state, 0);
	});
	const { stream, source } = await openSource(layer, how.signal);
	// A job that waits for bytes does not hear of the signal.
	const breakOff = (): void => stream?.breakOff();
	how.signal.addEventListener("abort", breakOff, { once: true });
	try {
		one.applied = await store.jobs.run(
			"apply",
			{
				target: how.waitsForLowers ? { ...target, lowersReady } : target,
				source,
				idMaps: options.idMaps,
				expectedDiffId: layer.expectedDiffId,
				expectedBlobDigest: layer.expectedBlobDigest,
				digestAside: one.digestAside,
			},
			{
				signal: how.signal,
				waits: source.from === "pipe",
				onProgress: (doneBytes) => options.onProgress?.(index, doneBytes),
			},
		);
		await stream?.done;
	} catch (error) {
		stream?.close();
		// The job complains of a stream that ends too soon, but that is because it was cancelled.
		if (how.signal.aborted) {
			throw new LamellaError("EABORTED", "the import was cancelled", { layer: layer.id, cause: error });
		}
		throw await streamsOwnFailure(stream?.done, error, layer.id);
	} finally {
		how.signal.removeEventListener("abort", breakOff);
		stream?.close();
	}
	options.onApplied?.(index, one.applied);
}

function isFetched(source: ChainLayer["source"]): source is FetchedSource {
	return "from" in source && source.from === "fetch";
}

/** What the job reads from, and the stream behind it where one is. */
async function openSource(
	{ id, source }: ChainLayer,
	signal: AbortSignal,
): Promise<{ readonly source: LayerSource; readonly stream?: StreamSource }> {
	if (signal.aborted) throw new LamellaError("EABORTED", "the import was cancelled", { layer: id });
	if (!(source instanceof Readable) && !isFetched(source)) return { source };
	const stream = sourceFromStream(isFetched(source) ? await source.open(signal) : source);
	return { source: stream.source, stream };
}

/** Where the stream itself failed, that is the reason for what the job found wrong with its bytes. */
async function streamsOwnFailure(
	done: Promise<void> | undefined,
	error: unknown,
	id: LayerId,
): Promise<unknown> {
	try {
		await done;
		return error;
	} catch (broke) {
		const code: unknown = broke instanceof Error ? Reflect.get(broke, "code") : undefined;
		// The job failed first, and the stream was closed because of that.
		if (code === "EPIPE" || code === "ERR_STREAM_PREMATURE_CLOSE" || code === "ABORT_ERR") return error;
		if (isLamellaError(error, "EABORTED") || isLamellaError(broke))
			return isLamellaError(broke) ? broke : error;
		const why = broke instanceof Error ? broke.message : String(broke);
		return new LamellaError("ETAR", `the stream of layer "${id}" broke off: ${why}`, {
			layer: id,
			cause: broke,
		});
	}
}

function stagedBelow(store: StoreContext, coming: readonly Coming[], position: number): LayerPlace[] {
	return coming
		.slice(0, position)
		.reverse()
		.map((one) => placeOf(store, one));
}

function placeOf(store: StoreContext, { staged, n, form, layer }: Coming): LayerPlace {
	if (form === undefined) throw new Error(`layer "${layer.id}" is not staged yet`);
	return store.placeAt(staged, { n, form });
}

/** Policy `always`: every layer gets its root before it is recorded. */
async function flattenAll(
	store: StoreContext,
	coming: readonly Coming[],
	below: readonly LayerPlace[],
	{ signal }: ImportChainOptions,
): Promise<void> {
	const { flattening } = store.driver;
	if (store.flattenPolicy !== "always" || flattening === undefined) return;
	let chain = below;
	for (const one of coming) {
		if (!isFlattened(placeOf(store, one).form)) {
			const root = store.stagedPath();
			const made = await flattening.make(placeOf(store, one), chain, root, { signal, sync: false });
			one.form = made.form;
			one.fold = foldOf(made);
			flattening.place(one.staged, root, one.form);
		}
		chain = [placeOf(store, one), ...chain];
	}
}

/** Makes what the top layer's first mount will need, while the disk is busy. */
async function prime(
	store: StoreContext,
	coming: readonly Coming[],
	below: readonly LayerPlace[],
	{ signal, mountSoon = false }: ImportChainOptions,
): Promise<void> {
	const [top, ...others] = coming.map((one) => placeOf(store, one)).reverse();
	if (mountSoon && top !== undefined) await store.driver.prime(top, [...others, ...below], { signal });
}

async function writeRecords(
	store: StoreContext,
	coming: readonly Coming[],
	parent: LayerRecord | undefined,
): Promise<void> {
	const nowNs = linux.realtimeNs();
	let below: Pick<LayerRecord, "id" | "depth"> | undefined = parent;
	for (const one of coming) {
		const record: LayerRecord = {
			id: one.layer.id,
			n: one.n,
			parent: below?.id,
			kind: "committed",
			labels: one.layer.labels ?? {},
			createdAtNs: nowNs,
			updatedAtNs: nowNs,
			diffId: one.applied?.diffId,
			usage: one.applied?.usage,
			form: placeOf(store, one).form,
			fold: one.fold,
			depth: below === undefined ? 0 : below.depth + 1,
		};
		await writeSidecar(sidecarOf(one.staged), record);
		one.record = record;
		below = record;
	}
}

/** Records the layers, bottom first. Returns those that another process has recorded meanwhile, which are not needed. */
function recordAll(
	store: StoreContext,
	coming: readonly Coming[],
	parent: LayerRecord | undefined,
	{ keepExisting }: ImportChainOptions,
): Coming[] {
	const unneeded: Coming[] = [];
	let parentN = parent?.n;
	for (const one of coming) {
		if (one.record === undefined) continue;
		const there = keepExisting === true ? findLayer(store.database, one.layer.id) : undefined;
		if (there === undefined) {
			insertLayer(store.database, one.record, parentN);
			parentN = one.n;
		} else if (there.kind !== "committed" || there.parent !== one.record.parent) {
			mustBeFree(store.database, one.layer.id);
		} else {
			unneeded.push(one);
			parentN = there.n;
		}
	}
	return unneeded;
}

function results(
	store: StoreContext,
	layers: readonly ChainLayer[],
	coming: readonly Coming[],
): ImportedLayer[] {
	const top = coming.at(-1)?.record;
	if (top !== undefined && findLayer(store.database, top.id)?.n === top.n) flattenLater(store, top);
	const made = new Map(coming.map((one) => [one.index, one]));
	return layers.map(({ id }, index) => {
		const one = made.get(index);
		// Another process may have removed it again: then what was recorded is returned.
		const record = findLayer(store.database, id) ?? one?.record;
		if (record === undefined)
			throw new LamellaError("ENOTFOUND", `layer "${id}" was removed while it was imported`, { layer: id });
		return { ...store.infoOf(record), applied: one?.applied };
	});
}
