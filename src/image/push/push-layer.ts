/** One layer on its way to a repository: found there, taken over from another repository, or made and sent. */
import fs from "node:fs";
import path from "node:path";
import type { Compression, DiffId, Digest, Warning } from "../../layer/index.ts";
import type { RepositoryWriter } from "../../registry/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { ImageLayer } from "../contract.ts";
import { writeLayerBlob } from "../export/layer-blobs.ts";
import type { KnownBlob } from "./known-blobs.ts";

const READ_BYTES = 1 << 20;

export interface LayerPush {
	readonly store: LayerStore;
	readonly writer: RepositoryWriter;
	readonly target: { readonly registry: string; readonly repository: string };
	/** What a new blob is compressed with. */
	readonly compression: Compression;
	/** Blobs that will do in place of a new one, the best first. */
	readonly known: readonly KnownBlob[];
	/** Where a new blob is written. */
	readonly directory: string;
	readonly signal: AbortSignal;
	readonly skipUnsupported: boolean | undefined;
	readonly report: (phase: "writing" | "uploading", doneBytes: number, totalBytes: number) => void;
}

export interface PushedLayer {
	readonly digest: Digest;
	readonly sizeBytes: number;
	readonly compression: Compression;
	readonly diffId: DiffId;
	/** How it came there. */
	readonly way: "existed" | "mounted" | "uploaded";
	readonly warnings: readonly Warning[];
}

/** @throws what a diff throws, {RegistryError}, `ENOSPC` */
export async function pushLayer(layer: ImageLayer, push: LayerPush): Promise<PushedLayer> {
	const { store, writer, known, compression, directory, signal, skipUnsupported, report } = push;
	const { diffId } = layer;
	for (const { digest, sizeBytes, compression, repositories } of known) {
		const blob = { digest, sizeBytes, compression, diffId, warnings: [] };
		if (await writer.hasBlob(digest, { signal })) return { ...blob, way: "existed" };
		for (const repository of sourcesOf(repositories, push.target)) {
			if (await writer.mountBlob(digest, repository, { signal })) return { ...blob, way: "mounted" };
		}
	}
	report("writing", 0, layer.tarSizeBytes);
	const place = path.join(directory, diffId.replace(":", "-"));
	const made = await writeLayerBlob(store, layer, compression, place, {
		signal,
		skipUnsupported,
		onProgress: (doneBytes) => report("writing", doneBytes, layer.tarSizeBytes),
	});
	try {
		const { digest, sizeBytes, warnings } = made;
		const blob = { digest, sizeBytes, compression, diffId: made.diffId, warnings };
		const isAsked = known.some((one) => one.digest === digest);
		if (!isAsked && (await writer.hasBlob(digest, { signal }))) return { ...blob, way: "existed" };
		const open = (start: number, end: number): AsyncIterable<Uint8Array> =>
			fs.createReadStream(made.path, { start, end: end - 1, highWaterMark: READ_BYTES });
		await writer.uploadBlob(
			{ digest, sizeBytes, open },
			{ signal, onProgress: (doneBytes) => report("uploading", doneBytes, sizeBytes) },
		);
		return { ...blob, way: "uploaded" };
	} finally {
		// Disks are small beside images: a blob goes as soon as it has been sent.
		if (!made.isKept) await fs.promises.rm(made.path, { force: true });
	}
}

/** Of the same registry, each once. */
function sourcesOf(
	repositories: KnownBlob["repositories"],
	target: LayerPush["target"],
): ReadonlySet<string> {
	return new Set(
		repositories
			.filter(({ registry }) => registry === target.registry)
			.map(({ repository }) => repository)
			.filter((repository) => repository !== target.repository),
	);
}
