/** What a layer and the driver look like to dockerd's users: `docker inspect` (GraphDriver.Data) and `docker info`. */
import type { LayerPaths } from "../driver/index.ts";
import type { LayerStore } from "../store/index.ts";

/**
 * A layer's directories under moby's names. `RootDir` alone where one directory is the whole tree (as moby's overlay);
 * else those of overlay2, without what there is not: a bottom layer has no `LowerDir`, an image layer no `WorkDir`.
 */
export function layerMetadata({ root, upper, lowers, work, merged }: LayerPaths): Record<string, string> {
	if (root !== undefined) return { RootDir: root };
	return {
		...(lowers.length > 0 && { LowerDir: lowers.join(":") }),
		MergedDir: merged,
		...(upper !== undefined && { UpperDir: upper }),
		...(work !== undefined && { WorkDir: work }),
	};
}

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
