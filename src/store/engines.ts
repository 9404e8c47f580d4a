/**
 * Which layers an engine keeps in the store. containerd's have ids that begin with `containerd/` (its keys and names) or
 * `containerd-…/` (what is made for them); nobody can choose such a name for a layer of their own. dockerd's have labels
 * that begin with `lamella.graphdriver/`.
 */
import type { LayerInfo } from "./contract.ts";

export const CONTAINERD_PREFIX = "containerd/";
export const GRAPHDRIVER_LABELS = "lamella.graphdriver/";

/** The engine that owns a layer: it counts on the layer until it removes it itself. */
export function engineOf({
	id,
	labels,
}: Pick<LayerInfo, "id" | "labels">): "containerd" | "dockerd" | undefined {
	if (/^containerd(-[a-z]+)?\//.test(id)) return "containerd";
	return Object.keys(labels).some((key) => key.startsWith(GRAPHDRIVER_LABELS)) ? "dockerd" : undefined;
}
