/**
 * Making committed layers from layer tars: each layer of a chain is made aside in a directory of its own, side by
 * side with the others; then all are flushed at once, renamed bottom first, and recorded in one transaction.
 *
 * A layer whose entries need something of a layer below (a hard link, a parent directory that its tar does not
 * have) waits within its job until those below are whole: see ApplyTarget.lowersReady. A driver whose layers are
 * whole trees (vfs) copies the parent's tree first, so there they go one after the other.
 */
import { availableParallelism } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { isFlattened, type LayerPlace } from "../../driver/index.ts";
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import type { ChainLayer, ImportChainOptions, ImportedLayer } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { committedParent, findLayer, insertLayer, mustBeFree } from "../database/layers.ts";
import { flush } from "../disk/flush.ts";
import { sidecarOf, writeSidecar } from "../disk/sidecar.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { applyAll, type Coming, placeOf } from "./applying.ts";
import { flattenLater, foldOf } from "./flattening.ts";

/** Starting one more thread costs as much as digesting some dozen megabytes. */
const LARGE_BYTES = 32 << 20;
/** A part of what each processor would have if all bytes were shared out evenly. */
const LARGE_SHARE = 0.8;

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
