/** Which files an exported image consists of: its documents, and its layers' blobs. */
import { joinWarnings } from "../../layer/index.ts";
import { blobName } from "../archive/content.ts";
import type { ExportResult, ImageId } from "../contract.ts";
import { replaceDiffIds } from "../documents/edit-config.ts";
import { dockerManifestFile, documentBlob, indexFile, layoutFile, manifestBlob } from "../documents/write.ts";
import { configOf } from "../records/documents.ts";
import type { ArchiveMember } from "./archive-writer.ts";
import type { Export } from "./export-image.ts";
import type { LayerBlob } from "./layer-blobs.ts";

export interface Layout {
	readonly members: readonly ArchiveMember[];
	readonly result: Omit<ExportResult, "sizeBytes">;
}

/** The files of the layout, small ones first, so that a reader of a stream knows early what comes. */
export function layoutOf(exported: Export, layers: readonly LayerBlob[]): Layout {
	const { store, image, name, forDocker } = exported;
	const exact = layers.every(({ diffId }, i) => diffId === image.layers[i]?.diffId);
	const original = configOf(store, image);
	const diffIds = layers.map(({ diffId }) => diffId);
	const config = documentBlob(exact ? original : replaceDiffIds(original, diffIds));
	const manifest = manifestBlob(config, layers);
	const members = new Map<string, ArchiveMember>();
	const add = (member: ArchiveMember): void => void members.set(member.name, member);
	add({ name: "oci-layout", bytes: layoutFile() });
	add({ name: "index.json", bytes: indexFile(manifest, image, name) });
	if (forDocker) add({ name: "manifest.json", bytes: dockerManifestFile(config, layers, name) });
	for (const { digest, bytes } of [config, manifest]) add({ name: blobName(digest), bytes });
	for (const { digest, path, sizeBytes } of layers) {
		if (!members.has(blobName(digest))) add({ name: blobName(digest), path, sizeBytes });
	}
	return {
		members: [...members.values()],
		result: {
			image: image.id,
			exportedAs: config.digest as ImageId,
			manifestDigest: manifest.digest,
			warnings: joinWarnings(layers.map(({ warnings }) => warnings)),
		},
	};
}
