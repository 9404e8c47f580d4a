/**
 * How a driver keeps a layer. A layer's record holds its form; only drivers choose and interpret it.
 *
 *     tree          diff/ has what the layer changed
 *     tree+root     and root/ has the whole tree of its chain
 *     whole         root/ has the whole tree, and nothing else is there (vfs)
 */
export type LayerForm = string & { readonly __layerForm: true };

export const TREE = "tree" as LayerForm;
export const TREE_WITH_ROOT = "tree+root" as LayerForm;
export const WHOLE = "whole" as LayerForm;

/** Whether the layer has a root of its own making, for the whole chain. */
export function isFlattened(form: LayerForm): boolean {
	return form === TREE_WITH_ROOT;
}
