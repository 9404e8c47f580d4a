/**
 * A layer's directories under moby's names (`docker inspect`, GraphDriver.Data): `RootDir` where one directory is
 * the whole tree, else `LowerDir`, `UpperDir`, `WorkDir` and `MergedDir`.
 */
import path from "node:path";
import type { MountDescription } from "../driver/index.ts";
import { LamellaError } from "../errors/index.ts";
import type { LayerInfo } from "../store/index.ts";

export function layerMetadata(
	layer: LayerInfo,
	mounts: readonly MountDescription[],
): Readonly<Record<string, string>> {
	const [mount] = mounts;
	if (mount === undefined) {
		throw new LamellaError("ECORRUPT", `layer "${layer.id}" has no mount description`, { layer: layer.id });
	}
	if (layer.kind === "committed" && layer.flattened) return { RootDir: path.join(layer.directory, "root") };
	if (mount.type === "bind") return { RootDir: mount.source };
	const places = {
		WorkDir: path.join(layer.directory, "work"),
		MergedDir: path.join(layer.directory, "merged"),
	};
	const lowers = option(mount, "lowerdir");
	const upper = option(mount, "upperdir");
	if (upper !== undefined) return { LowerDir: lowers ?? "", UpperDir: upper, ...places };
	// A layer that is only read lists its own diff first; moby calls that the upper, as it was when it was written.
	const [own = "", ...rest] = splitLowers(lowers ?? "");
	return { LowerDir: rest.join(":"), UpperDir: own, ...places };
}

function option(mount: MountDescription, key: string): string | undefined {
	return mount.options.find((text) => text.startsWith(`${key}=`))?.slice(key.length + 1);
}

/** Colons that belong to a path are escaped by a backslash (overlayfs.rst, "Multiple lower layers"). */
function splitLowers(text: string): string[] {
	return text.split(/(?<!\\):/);
}
