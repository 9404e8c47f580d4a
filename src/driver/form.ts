/**
 * The form of a layer: how a driver keeps it. A layer's record holds it; only drivers choose and interpret it.
 *
 *     tree          diff/ has what the layer changed
 *     tree+root     and root/ has the whole tree of its chain
 *     whole         root/ has the whole tree, and nothing else is there (vfs)
 */
export type LayerForm = string & { readonly __layerForm: true };

export const TREE = "tree" as LayerForm;
export const TREE_WITH_ROOT = "tree+root" as LayerForm;
export const WHOLE = "whole" as LayerForm;

/** The driver that keeps layers in a form. */
export function driverOf(form: LayerForm): "overlay" | "vfs" {
	return form === WHOLE ? "vfs" : "overlay";
}

/** Whether the layer has a root that was made by flattening, for its whole chain. */
export function isFlattened(form: LayerForm): boolean {
	return form === TREE_WITH_ROOT;
}
