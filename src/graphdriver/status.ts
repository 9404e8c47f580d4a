/** What `docker info` shows under the storage driver. */
import type { LayerInfo, LayerStore } from "../store/index.ts";

export function driverStatus(store: LayerStore): readonly (readonly [string, string])[] {
	const { layers, mounted, flattenPolicy, details } = store.status();
	return [
		// As `docker info` spells it for every driver.
		...details.map(
			([key, value]) => [key === "Backing filesystem" ? "Backing Filesystem" : key, value] as const,
		),
		["Flatten Policy", flattenPolicy],
		["Layers", `${layers.committed} committed, ${layers.active} writable, ${layers.view} views`],
		["Mounted", String(mounted)],
		["Shared Bytes", String(sharedBytes(store))],
	];
}

/** Bytes that flattened roots show but do not take, because they are hard links to what the layers below hold. */
function sharedBytes(store: LayerStore): number {
	let sum = 0;
	for (const layer of store.list()) {
		if (!layer.flattened) continue;
		const size = ({ usage }: LayerInfo): number => usage?.sizeBytes ?? 0;
		sum += store.chain(layer.id).reduce((total, ancestor) => total + size(ancestor), size(layer));
	}
	return sum;
}
