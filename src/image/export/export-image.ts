/**
 * Writes an image out: every layer becomes a blob, then the documents, then one archive or a layout directory. Layer
 * tars are made by the store's own writer; where one comes out with another digest than it came in with, the
 * config gets the new diffIDs and the image another id.
 */
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import type { Compression } from "../../layer/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { ExportResult, ImageExportOptions, ImageInfo, ImageName, ImageOutput } from "../contract.ts";
import { asArchiveError } from "../failure.ts";
import { writeArchive } from "./archive-writer.ts";
import { exportDirectory } from "./directory.ts";
import { writeLayerBlobs } from "./layer-blobs.ts";
import { layoutOf } from "./layout.ts";
import { openOutput } from "./output-file.ts";

/** What is exported. */
export interface Export {
	readonly store: LayerStore;
	readonly image: ImageInfo;
	/** The name that it gets, if any. */
	readonly name: ImageName | undefined;
	readonly compression: Compression;
	readonly forDocker: boolean;
	readonly options: ImageExportOptions;
}

/** @throws {LamellaError} `EEXISTS`, `EINVALID`, `ENOSPACE`, `EABORTED`, and what a diff throws */
export async function exportImage(
	store: LayerStore,
	image: ImageInfo,
	name: ImageName | undefined,
	output: ImageOutput,
	options: ImageExportOptions,
): Promise<ExportResult> {
	const forDocker = options.format === "docker";
	const compression = options.compression ?? (forDocker ? "none" : "gzip");
	const exported: Export = { store, image, name, compression, forDocker, options };
	if (options.format !== "oci-dir") return await exportArchive(exported, output);
	if (typeof output === "string") return await exportDirectory(exported, output);
	throw new LamellaError("EINVALID", "a layout directory cannot be written to a stream; name a directory");
}

async function exportArchive(exported: Export, output: ImageOutput): Promise<ExportResult> {
	const { store, options } = exported;
	const target = await openOutput(output, options.signal);
	try {
		await using scratch = await store.scratch().catch((error: unknown) => {
			throw aboutScratch(error, exported);
		});
		const layers = await writeLayerBlobs(exported, scratch.path).catch((error: unknown) => {
			throw aboutScratch(error, exported);
		});
		const { members, result } = layoutOf(exported, layers);
		const sizeBytes = await writeArchive(members, target, options.signal);
		await target.finish();
		return { ...result, sizeBytes };
	} catch (error) {
		await target.abandon();
		throw error;
	}
}

/** Layers are written within the store first: what its disk has no room for may well fit where the export goes. */
function aboutScratch(error: unknown, { store, image, name }: Export): unknown {
	const doing = `export ${name ?? image.id}`;
	if (!isLamellaError(asArchiveError(error, doing), "ENOSPACE")) return error;
	return new LamellaError(
		"ENOSPACE",
		`cannot ${doing}: its layers are first written in the store, and the disk of ${store.status().root} is full (of bytes or of inodes: see df and df -i); make room there, or use --format oci-dir`,
		{ cause: error },
	);
}
