/** What `docker info` shows under the storage driver. */
import type { LayerStore } from "../store/index.ts";

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
	];
}
