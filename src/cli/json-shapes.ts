/**
 * What `--json` prints for a layer, an image, a change: stable shapes, described in docs/cli.md. Fields may be
 * added; none changes its meaning. Times are ISO 8601, sizes are bytes, what is not known is null.
 */
import type { Change, ImageInfo, LayerInfo } from "../api/index.ts";

export function layerJson(layer: LayerInfo): object {
	return {
		id: layer.id,
		parent: layer.parent ?? null,
		kind: layer.kind,
		labels: layer.labels,
		createdAt: new Date(Number(layer.createdAtNs / 1_000_000n)).toISOString(),
		updatedAt: new Date(Number(layer.updatedAtNs / 1_000_000n)).toISOString(),
		diffId: layer.diffId ?? null,
		sizeBytes: layer.usage?.sizeBytes ?? null,
		inodes: layer.usage?.inodes ?? null,
		flattened: layer.flattened,
		depth: layer.depth,
		directory: layer.directory,
		mountCount: layer.mountCount,
	};
}

export function imageJson(image: ImageInfo): object {
	return {
		id: image.id,
		names: image.names,
		createdAt: image.createdAtMs === undefined ? null : new Date(image.createdAtMs).toISOString(),
		importedAt: new Date(image.importedAtMs).toISOString(),
		sizeBytes: image.sizeBytes,
		os: image.os,
		architecture: image.architecture,
		manifestDigest: image.manifestDigest ?? null,
		repoDigests: (image.repoDigests ?? []).map(({ repository, digest, platform }) => {
			return { repository, digest, platform: platform ?? null };
		}),
		// Bottom first.
		layers: image.layers.map(({ diffId, chainId, layer, tarSizeBytes }) => {
			return { diffId, chainId, layer, tarSizeBytes };
		}),
	};
}

export interface ChangeJson {
	readonly kind: "A" | "C" | "D";
	/** Absolute within the layer. Where the name is not UTF-8 this has U+FFFD in it, and pathBase64 has the bytes. */
	readonly path: string;
	readonly pathBase64?: string;
}

export function changeJson({ kind, path }: Change): ChangeJson {
	const text = path.toString("utf8");
	return Buffer.from(text).equals(path)
		? { kind, path: text }
		: { kind, path: text, pathBase64: path.toString("base64") };
}
