/**
 * Makes an image of a layer: its changes become a committed layer over the same parent, and the config of the
 * image below gets one more diffID. The layer is only read; a writable one may be mounted and goes on as it was. What a
 * committed one holds (a checkpoint, for example) is shared, and not copied.
 */
import { LamellaError } from "../../errors/index.ts";
import { chainId, type DiffId, digestOf } from "../../layer/index.ts";
import type { LayerId, LayerStore, NameOfContent } from "../../store/index.ts";
import type { CommitOptions, ImageId, ImageInfo, ImageName, MadeImage, ProgressEvent } from "../contract.ts";
import { extendConfig } from "../documents/edit-config.ts";
import { describeConfig, MAX_DOCUMENT_BYTES, parseConfig } from "../documents/parse.ts";
import { type NewImage, saveImage } from "../records/catalog.ts";
import { type Base, baseOf } from "./base-image.ts";
import { makeNewLayer } from "./new-layer.ts";

/** @throws {LamellaError} `EKIND`, `EINVALID`, `ENOTFOUND`, `EABORTED`, `ENOSPACE` */
export async function commitLayer(
	store: LayerStore,
	id: LayerId,
	name: ImageName | undefined,
	options: CommitOptions,
): Promise<MadeImage> {
	const source = store.get(id);
	if (source.kind === "view") {
		const message = `layer "${id}" is a read-only view, which has nothing of its own; make an image of a writable or a committed layer`;
		throw new LamellaError("EKIND", message, { layer: id });
	}
	const base = await baseOf(store, source, options);
	// A wrong instruction has to be told before the work is done.
	extendConfig(base.config, [], options.changes);
	const report = (phase: ProgressEvent["phase"], doneBytes: number): void =>
		options.onProgress?.({
			operation: "commit",
			phase,
			image: name,
			layer: id,
			index: 0,
			count: 1,
			doneBytes,
		});
	report("writing", 0);
	let image: NewImage | undefined;
	let saved: ImageInfo | undefined;
	const nameOf: NameOfContent = async ({ diffId, tarSizeBytes }) => {
		const config = configOf(base, diffId, id, options);
		const chain = chainId(base.layers.at(-1)?.chainId, diffId);
		const layer = chain as string as LayerId;
		await store.documents.put(config);
		image = {
			...describeConfig(parseConfig(config, "the new config")),
			id: digestOf<ImageId>(config),
			layers: [...base.layers, { diffId, chainId: chain, layer, tarSizeBytes }],
		};
		return layer;
	};
	const made = makeNewLayer(store, source, nameOf, {
		signal: options.signal,
		skipUnsupported: options.skipUnsupported,
		onProgress: (doneBytes) => report("writing", doneBytes),
		also: (transaction) => {
			if (image !== undefined) saved = saveImage(transaction, image, name === undefined ? [] : [name]);
		},
	});
	const { warnings, tarSizeBytes } = await made.catch(async (error: unknown) => {
		if (image !== undefined) await store.documents.discard([image.id]);
		throw error;
	});
	if (saved === undefined) throw new Error("the store did not run the commit's transaction");
	report("done", tarSizeBytes);
	return { ...saved, warnings };
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
