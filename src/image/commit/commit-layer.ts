/**
 * Makes an image of an active layer: its changes become a committed layer over the same parent, and the config of the
 * image below gets one more diffID. The active layer is only read; it may be mounted and goes on as it was.
 */
import fs from "node:fs";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import { chainId, type DiffId, digestOf } from "../../layer/index.ts";
import type { LayerId, LayerInfo, LayerStore, StoreTransaction } from "../../store/index.ts";
import type { CommitOptions, ImageId, ImageInfo, ImageName, ProgressEvent } from "../contract.ts";
import { extendConfig } from "../documents/edit-config.ts";
import { describeConfig, MAX_DOCUMENT_BYTES, parseConfig } from "../documents/parse.ts";
import { saveImage } from "../records/catalog.ts";
import { type Base, baseOf } from "./base-image.ts";
import { writeDiff } from "./layer-diff.ts";

type Report = (phase: ProgressEvent["phase"], doneBytes: number, totalBytes?: number) => void;

/** @throws {LamellaError} `EKIND`, `EINVALID`, `ENOTFOUND`, `EABORTED`, `ENOSPACE` */
export async function commitLayer(
	store: LayerStore,
	id: LayerId,
	name: ImageName | undefined,
	options: CommitOptions,
): Promise<ImageInfo> {
	const active = store.get(id);
	if (active.kind !== "active") {
		const is = active.kind === "view" ? "a read-only view" : "committed already";
		const message = `layer "${id}" is ${is}; only a writable layer can become an image`;
		throw new LamellaError("EKIND", message, { layer: id });
	}
	const base = await baseOf(store, active, options);
	// A wrong instruction has to be told before the work is done.
	extendConfig(base.config, [], options.changes);
	const report: Report = (phase, doneBytes, totalBytes) =>
		options.onProgress?.({
			operation: "commit",
			phase,
			image: name,
			layer: id,
			index: 0,
			count: 1,
			doneBytes,
			totalBytes,
		});
	let saved: ImageInfo | undefined;
	const tarSizeBytes = await copyChanges(store, active, options, report, async (diffId, tarSizeBytes) => {
		const config = configOf(base, diffId, id, options);
		const chain = chainId(base.layers.at(-1)?.chainId, diffId);
		const layer = chain as string as LayerId;
		await store.documents.put(config);
		const image = {
			...describeConfig(parseConfig(config, "the new config")),
			id: digestOf<ImageId>(config),
			layers: [...base.layers, { diffId, chainId: chain, layer, tarSizeBytes }],
		};
		const also = (transaction: StoreTransaction): void => {
			saved = saveImage(transaction, image, name === undefined ? [] : [name]);
		};
		return { layer, also };
	});
	if (saved === undefined) throw new Error("the store did not run the commit's transaction");
	report("done", tarSizeBytes, tarSizeBytes);
	return saved;
}

/** @throws {LamellaError} `EINVALID` where it grows larger than any document may be */
function configOf(base: Base, diffId: DiffId, id: LayerId, options: CommitOptions): Buffer {
	const added = {
		diffId,
		createdAtMs: options.createdAtMs ?? Date.now(),
		author: options.author,
		comment: options.message,
		createdBy: `lamella commit ${id}`,
	};
	const config = extendConfig(base.config, [...base.missing, added], options.changes);
	if (config.length <= MAX_DOCUMENT_BYTES) return config;
	throw new LamellaError(
		"EINVALID",
		`the image's config would have ${config.length} bytes; no more than ${MAX_DOCUMENT_BYTES} are allowed: take fewer or shorter changes`,
	);
}

/**
 * Makes a committed layer of what the active one has, under the name that `place` gives it once its diffID is known,
 * and records it together with what `place` wants recorded.
 */
async function copyChanges(
	store: LayerStore,
	{ id, parent }: LayerInfo,
	{ signal }: CommitOptions,
	report: Report,
	place: (
		diffId: DiffId,
		tarSizeBytes: number,
	) => Promise<{ readonly layer: LayerId; readonly also: (transaction: StoreTransaction) => void }>,
): Promise<number> {
	await using scratch = await store.scratch();
	const spooled = path.join(scratch.path, "diff.tar");
	report("writing", 0);
	const { diffId, tarSizeBytes } = await writeDiff(
		store,
		id,
		fs.createWriteStream(spooled, { flags: "wx" }),
		{
			signal,
			onProgress: (doneBytes) => report("writing", doneBytes),
		},
	);
	const { layer, also } = await place(diffId, tarSizeBytes);
	const source = {
		from: "range",
		path: spooled,
		offset: 0,
		sizeBytes: tarSizeBytes,
		compression: "none",
	} as const;
	await store.importChain([{ id: layer, source, expectedDiffId: diffId }], {
		parent,
		keepExisting: true,
		signal,
		onProgress: (_index, doneBytes) => report("applying", doneBytes, tarSizeBytes),
		also,
	});
	return tarSizeBytes;
}
