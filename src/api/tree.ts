/** The layers of a store as a forest. */
import type { ImageInfo, ImageName } from "../image/index.ts";
import type { LayerInfo } from "../store/index.ts";

export interface TreeNode {
	readonly layer: LayerInfo;
	/** Names (or, where it has none, the id) of the images whose top layer this is. */
	readonly images: readonly (ImageName | string)[];
	/** In order of id. */
	readonly children: readonly TreeNode[];
}

/** Puts layers under their parents; a layer whose parent is not among them becomes a root. */
export function layerTree(layers: readonly LayerInfo[], images: readonly ImageInfo[]): readonly TreeNode[] {
	const tops = new Map<string, string[]>();
	for (const image of images) {
		const top = image.layers.at(-1)?.layer;
		if (top === undefined) continue;
		const names = image.names.length > 0 ? image.names : [image.id];
		tops.set(top, [...(tops.get(top) ?? []), ...names]);
	}
	const nodes = new Map<string, TreeNode & { readonly children: TreeNode[] }>();
	for (const layer of layers) nodes.set(layer.id, { layer, images: tops.get(layer.id) ?? [], children: [] });
	const roots: TreeNode[] = [];
	for (const node of nodes.values()) {
		const parent = node.layer.parent === undefined ? undefined : nodes.get(node.layer.parent);
		(parent?.children ?? roots).push(node);
	}
	return roots;
}
