/**
 * Applying the tars of a chain, side by side, each in a directory of its own in staging/. Nothing of it is flushed or recorded.
 */
import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Readable } from "node:stream";
import type { LayerForm, LayerPlace, PreparedApply } from "../../driver/index.ts";
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import { type ApplyResult, type LayerSource, LOWERS_FAILED, LOWERS_WHOLE } from "../../layer/index.ts";
import type { StoreContext } from "../context.ts";
import type { ChainLayer, FetchedSource, ImportChainOptions, LayerId } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { type StreamSource, sourceFromStream } from "./pipes.ts";
import { Turns } from "./turns.ts";

/** Layers that are fetched side by side: each has a connection, and a thread that inflates it. */
const FETCHES = Math.min(8, Math.max(4, availableParallelism()));

/** A layer of the chain on its way. */
export interface Coming {
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

/** @throws {LamellaError} the first failure; all that was begun has ended then */
export async function applyAll(
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

/** What the job reads from, and the stream behind it if there is one. */
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

/** Where a layer is that is staged. */
export function placeOf(store: StoreContext, { staged, n, form, layer }: Coming): LayerPlace {
	if (form === undefined) throw new Error(`layer "${layer.id}" is not staged yet`);
	return store.placeAt(staged, { n, form });
}
