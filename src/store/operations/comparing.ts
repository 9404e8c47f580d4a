/** Changes, diff and the size of a diff: which trees to compare, mounted meanwhile where they have to be. */

import { LamellaError } from "../../errors/index.ts";
import type { DiffSubject } from "../../layer/index.ts";
import type { StoreContext } from "../context.ts";
import type { DiffOptions, DiffStream, LayerId } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { layerAt, layerRecord } from "../database/layers.ts";
import { storeFailure } from "../failure.ts";
import { holdMount, releaseMount } from "./mounting.ts";
import { streamFromSink } from "./pipes.ts";
import { writeDiff } from "./small-reads.ts";

/**
 * Runs `work` on what is to be compared for the layer.
 * @throws {LamellaError} `ENOTFOUND`, also where a layer was removed meanwhile: half its files may then have been missing
 */
export async function comparing<R>(
	store: StoreContext,
	id: LayerId,
	{ against }: DiffOptions,
	work: (subject: DiffSubject) => Promise<R>,
): Promise<R> {
	const record = layerRecord(store.database, id);
	const other = against == null ? undefined : layerRecord(store.database, against);
	const watched = other === undefined ? [record] : [record, other];
	try {
		const result =
			against === undefined || (against !== null && against === record.parent)
				? await comparingWithParent(store, record, work)
				: await comparingTrees(store, record, other, work);
		mustStillBeThere(store, watched);
		return result;
	} catch (error) {
		// Where the layer is gone, that explains the failure better.
		mustStillBeThere(store, watched);
		throw storeFailure(error, `compare layer "${id}"`, id);
	}
}

async function comparingWithParent<R>(
	store: StoreContext,
	record: LayerRecord,
	work: (subject: DiffSubject) => Promise<R>,
): Promise<R> {
	const [layer, ...chain] = store.placesFrom(record);
	await using held = await store.driver.hold(layer, chain);
	return await work(held.subject);
}

async function comparingTrees<R>(
	store: StoreContext,
	record: LayerRecord,
	other: LayerRecord | undefined,
	work: (subject: DiffSubject) => Promise<R>,
): Promise<R> {
	const to = await holdMount(store, record.id, {});
	try {
		if (other === undefined) return await work({ form: "trees", to });
		const from = await holdMount(store, other.id, {});
		try {
			return await work({ form: "trees", from, to });
		} finally {
			await releaseMount(store, other.id, {});
		}
	} finally {
		await releaseMount(store, record.id, {});
	}
}

/** A layer's tar as a stream; see LayerStore.diff. */
export function diffStream(store: StoreContext, id: LayerId, options: DiffOptions): DiffStream {
	layerRecord(store.database, id);
	const sink = streamFromSink();
	const abandoned = new AbortController();
	const signal =
		options.signal === undefined ? abandoned.signal : AbortSignal.any([options.signal, abandoned.signal]);
	let isDone = false;
	sink.stream.once("close", () => {
		if (!isDone) abandoned.abort();
	});
	const { idMaps, wholeSeconds, expandHoles, skipUnsupported, onProgress } = options;
	const result = comparing(store, id, options, (subject) =>
		writeDiff(
			store.jobs,
			{ subject, fd: sink.fd, idMaps, wholeSeconds, expandHoles, skipUnsupported },
			{ signal, onProgress },
		),
	).then(
		(done) => {
			isDone = true;
			sink.finish();
			return done;
		},
		(error: unknown) => {
			const failure =
				error instanceof Error ? error : new LamellaError("ESYSTEM", String(error), { layer: id });
			sink.finish(failure);
			throw failure;
		},
	);
	// Callers that only read the stream get the same from the stream's error.
	result.catch(() => undefined);
	return { stream: sink.stream, result };
}

function mustStillBeThere(store: StoreContext, records: readonly LayerRecord[]): void {
	for (const seen of records) {
		if (layerAt(store.database, seen.n) !== undefined) continue;
		throw new LamellaError("ENOTFOUND", `layer "${seen.id}" was removed while it was being read`, {
			layer: seen.id,
		});
	}
}
