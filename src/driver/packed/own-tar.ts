/** Owns the question whether the files of a packed layer are its own: whole directories of two layers may have been swapped. */
import { LamellaError } from "../../errors/index.ts";
import { type KeptTar, keptTar } from "../../layer/index.ts";
import type { LayerPlace } from "../driver.ts";

/**
 * The layer's tar; see keptTar.
 * @throws {LamellaError} `ECORRUPT` where its index is not of the tar that was recorded, or layer.tar is not what was indexed
 */
export function ownTar({ directory, diffId }: Pick<LayerPlace, "directory" | "diffId">): KeptTar | undefined {
	const kept = keptTar(directory);
	if (kept === undefined || diffId === undefined || kept.diffId === diffId) return kept;
	throw new LamellaError("ECORRUPT", `"${kept.path}" is the tar of another layer; import its image again`, {
		path: kept.path,
	});
}
