/**
 * The form of a layer: how a driver keeps it. A layer's record holds it; only drivers choose and interpret it.
 *
 *     tree          diff/ has what the layer changed
 *     tree+root     and root/ has the whole tree of its chain
 *     tree+fold:N   and fold/ has what it and N - 1 trees below it changed, over what they stand on; a fold may be made of folds
 *     packed        layer.tar is the layer's tar, and layer.index says what is where in it; root.erofs, where it was
 *                   made, is the whole tree of its chain
 *     whole         root/ has the whole tree, and nothing else is there (vfs)
 */
export type LayerForm = string & { readonly __layerForm: true };

export const TREE = "tree" as LayerForm;
export const TREE_WITH_ROOT = "tree+root" as LayerForm;
export const PACKED = "packed" as LayerForm;
export const WHOLE = "whole" as LayerForm;

/** The driver that keeps layers in these forms: those of one store. */
export function driverOf(forms: readonly LayerForm[]): "packed" | "overlay" | "vfs" {
	if (forms.includes(PACKED)) return "packed";
	return forms.includes(WHOLE) ? "vfs" : "overlay";
}

export function isPacked(form: LayerForm): boolean {
	return form === PACKED;
}

/** Whether nothing below a committed layer ever changes its form: it stands on packed layers only, and those stay packed. */
export function hasFixedChain(form: LayerForm): boolean {
	return isPacked(form);
}

const FOLD = "tree+fold:";

/** The form of a tree with a fold of itself and those below it, `count` in all. */
export function treeWithFold(count: number): LayerForm {
	return `${FOLD}${count}` as LayerForm;
}

/** How many layers the fold of a layer stands for; undefined where it has none. */
export function foldedLayers(form: LayerForm): number | undefined {
	const count = form.startsWith(FOLD) ? Number(form.slice(FOLD.length)) : 0;
	return Number.isInteger(count) && count > 0 ? count : undefined;
}

/** Whether a layer has its whole tree to itself: a mount over it needs nothing below it. */
export function standsAlone(form: LayerForm): boolean {
	return form === TREE_WITH_ROOT || form === WHOLE;
}

/** Whether a mount merges no more than one tree, or one over an image, for the layer and its whole chain. */
export function isFlattened(form: LayerForm): boolean {
	return form === TREE_WITH_ROOT || foldedLayers(form) !== undefined || form === PACKED;
}
