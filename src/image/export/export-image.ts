/**
 * Writes an image out: every layer becomes a blob, then the documents, then one archive or a layout directory. Layer
 * tars are made by the store's own writer; where one comes out with another digest than it came in with, the
 * config gets the new diffIDs and the image another id.
 */
import fs from "node:fs";
import path from "node:path";
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import type { Compression } from "../../layer/index.ts";
import type { LayerStore } from "../../store/index.ts";
import { blobName } from "../archive/content.ts";
import type { ExportResult, ImageExportOptions, ImageId, ImageName, ImageOutput } from "../contract.ts";
import { replaceDiffIds } from "../documents/edit-config.ts";
import { dockerManifestFile, documentBlob, indexFile, layoutFile, manifestBlob } from "../documents/write.ts";
import { asArchiveError, checkAborted } from "../failure.ts";
import type { ImageRecord } from "../records/catalog.ts";
import { type ArchiveMember, writeArchive } from "./archive-writer.ts";
import { type LayerBlob, writeLayerBlob } from "./layer-blob.ts";
import { asideName, openOutput, syncDirectory } from "./output-file.ts";

/** Diffs and compressors that run at one time. */
const PARALLEL_LAYERS = 2;

export interface ExportContext {
	readonly store: LayerStore;
	/** Makes an empty directory of the store's own; removed by the caller. */
	readonly scratch: string;
}

/** @throws {LamellaError} `EEXISTS`, `EINVALID`, `ENOSPACE`, `EABORTED`, and what a diff throws */
export async function exportImage(
	context: ExportContext,
	record: ImageRecord,
	name: ImageName | undefined,
	output: ImageOutput,
	options: ImageExportOptions,
): Promise<ExportResult> {
	const format = options.format ?? "oci";
	const compression = options.compression ?? (format === "docker" ? "none" : "gzip");
	try {
		if (format === "oci-dir")
			return await exportDirectory(context, record, name, output, compression, options);
		const target = await openOutput(output, options.signal);
		try {
			const layers = await writeLayers(context, record, name, context.scratch, compression, options).catch(
				(error: unknown) => {
					throw aboutScratch(error, name ?? record.id, context);
				},
			);
			const { members, ...result } = layoutOf(record, name, layers, compression, format === "docker");
			const sizeBytes = await writeArchive(members, target, options.signal);
			await target.finish();
			return { ...result, sizeBytes };
		} catch (error) {
			await target.abandon();
			throw error;
		}
	} catch (error) {
		const to = typeof output === "string" ? ` to ${output}` : "";
		throw asArchiveError(error, `export ${name ?? record.id}${to}`);
	}
}

/** Layers are written within the store first: what its disk has no room for may well fit where the export goes. */
function aboutScratch(error: unknown, exported: string, { store }: ExportContext): unknown {
	const translated = asArchiveError(error, `export ${exported}`);
	if (!isLamellaError(translated, "ENOSPACE")) return error;
	return new LamellaError(
		"ENOSPACE",
		`cannot export ${exported}: its layers are first written in the store, and the disk of ${store.status().root} is full; make room there, or use --format oci-dir`,
		{ cause: error },
	);
}

async function exportDirectory(
	context: ExportContext,
	record: ImageRecord,
	name: ImageName | undefined,
	output: ImageOutput,
	compression: Compression,
	options: ImageExportOptions,
): Promise<ExportResult> {
	if (typeof output !== "string") {
		throw new LamellaError("EINVALID", "a layout directory cannot be written to a stream; name a directory");
	}
	const target = path.resolve(output);
	await refuseOccupied(target);
	const aside = path.join(path.dirname(target), asideName(target));
	await fs.promises.mkdir(path.join(aside, "blobs", "sha256"), { recursive: true });
	try {
		const layers = await writeLayers(context, record, name, aside, compression, options);
		const { members, ...result } = layoutOf(record, name, layers, compression, false);
		let sizeBytes = 0;
		for (const member of members) {
			checkAborted(options.signal, "export");
			const place = path.join(aside, member.name);
			if ("bytes" in member) {
				await fs.promises.writeFile(place, member.bytes, { flush: true });
				sizeBytes += member.bytes.length;
			} else {
				await fs.promises.rename(member.path, place);
				sizeBytes += member.sizeBytes;
			}
		}
		// Blobs that another layer had already stand beside under their first names.
		for (const { path: leftover } of layers) await fs.promises.rm(leftover, { force: true });
		for (const directory of ["blobs/sha256", "blobs", "."]) await syncDirectory(path.join(aside, directory));
		// An empty directory may be replaced; anything else that came in the meantime makes this fail.
		await fs.promises.rename(aside, target);
		await syncDirectory(path.dirname(target));
		return { ...result, sizeBytes };
	} catch (error) {
		await fs.promises.rm(aside, { recursive: true, force: true });
		throw error;
	}
}

async function refuseOccupied(target: string): Promise<void> {
	let names: string[];
	try {
		names = await fs.promises.readdir(target);
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT") return;
		if (code === "ENOTDIR")
			throw new LamellaError("EEXISTS", `${target} is in the way: it is not a directory`);
		throw error;
	}
	if (names.length > 0) {
		throw new LamellaError("EEXISTS", `directory ${target} is not empty; remove it or choose another name`);
	}
}

/** Bottom first, in files of `directory`. */
async function writeLayers(
	context: ExportContext,
	record: ImageRecord,
	name: ImageName | undefined,
	directory: string,
	compression: Compression,
	options: ImageExportOptions,
): Promise<readonly LayerBlob[]> {
	const blobs: LayerBlob[] = [];
	const failed = new AbortController();
	const signal =
		options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
	const queue = record.layers.entries();
	const work = async (): Promise<void> => {
		for (const [index, { layer, diffId, tarSizeBytes }] of queue) {
			checkAborted(signal, "export");
			const report = (phase: "writing" | "done", doneBytes: number): void =>
				options.onProgress?.({
					operation: "export",
					phase,
					image: name ?? record.id,
					layer: diffId,
					index,
					count: record.layers.length,
					doneBytes,
					totalBytes: tarSizeBytes,
				});
			report("writing", 0);
			const onProgress = (doneBytes: number): void => report("writing", doneBytes);
			const place = path.join(directory, `layer-${index}`);
			const blob = await writeLayerBlob(context.store, layer, compression, place, { signal, onProgress });
			blobs[index] = blob;
			report("done", blob.tarSizeBytes);
		}
	};
	const workers = Array.from({ length: PARALLEL_LAYERS }, () =>
		work().catch((error: unknown) => {
			// The others are of no use any more; the first failure is the one to tell.
			failed.abort(error);
			throw error;
		}),
	);
	const settled = await Promise.allSettled(workers);
	const failure = settled.find((result) => result.status === "rejected");
	if (failure !== undefined) {
		checkAborted(options.signal, "export");
		throw failed.signal.reason;
	}
	return blobs;
}

interface Layout extends Omit<ExportResult, "sizeBytes"> {
	readonly members: readonly ArchiveMember[];
}

/** The files of the layout, small ones first, so that a reader of a stream knows early what comes. */
function layoutOf(
	record: ImageRecord,
	name: ImageName | undefined,
	layers: readonly LayerBlob[],
	compression: Compression,
	forDocker: boolean,
): Layout {
	const exact = layers.every(({ diffId }, i) => diffId === record.layers[i]?.diffId);
	const original = Buffer.from(record.config);
	const config = documentBlob(
		exact
			? original
			: replaceDiffIds(
					original,
					layers.map(({ diffId }) => diffId),
				),
	);
	const manifest = manifestBlob(config, layers, compression);
	const members = new Map<string, ArchiveMember>();
	const add = (member: ArchiveMember): void => void members.set(member.name, member);
	add({ name: "oci-layout", bytes: layoutFile() });
	add({ name: "index.json", bytes: indexFile(manifest, record, name) });
	if (forDocker) add({ name: "manifest.json", bytes: dockerManifestFile(config, layers, name) });
	for (const { digest, bytes } of [config, manifest]) add({ name: blobName(digest), bytes });
	for (const { digest, path, sizeBytes } of layers) {
		if (!members.has(blobName(digest))) add({ name: blobName(digest), path, sizeBytes });
	}
	return {
		members: [...members.values()],
		image: record.id,
		exportedAs: config.digest as ImageId,
		manifestDigest: manifest.digest,
		warnings: layers.flatMap(({ warnings }) => warnings),
	};
}
