/**
 * The ID maps that a snapshot's labels ask for (`containerd.io/snapshot/uidmapping`, `gidmapping`), and whether there is
 * anything left to shift: containerd that was not told of `remap-ids` shifts by itself, commits what it has shifted, and
 * then sends the labels all the same with a snapshot over that.
 */
import { type Stats, statSync } from "node:fs";
import { LamellaError } from "../../../errors/index.ts";
import { hostRoot, type IdMaps, parseIdMapLabel } from "../../../idmap/index.ts";
import type { Labels, LayerId, LayerStore } from "../../../store/index.ts";

const UID_LABEL = "containerd.io/snapshot/uidmapping";
const GID_LABEL = "containerd.io/snapshot/gidmapping";

/** @throws {LamellaError} `EINVALID` where one is malformed or alone, or where a container's root has no number */
export function idMapsOf(labels: Labels): IdMaps | undefined {
	const uid = labels[UID_LABEL];
	const gid = labels[GID_LABEL];
	if (uid === undefined && gid === undefined) return undefined;
	if (uid === undefined || gid === undefined) {
		throw new LamellaError("EINVALID", `${UID_LABEL} and ${GID_LABEL} have to be given together`);
	}
	const idMaps: IdMaps = { uids: parseIdMapLabel(uid), gids: parseIdMapLabel(gid) };
	hostRoot(idMaps);
	return idMaps;
}

/** The mount options by which containerd 2 makes an idmapped mount. */
export function idMapOptions(labels: Labels): string[] {
	return [`uidmap=${labels[UID_LABEL] ?? ""}`, `gidmap=${labels[GID_LABEL] ?? ""}`];
}

/**
 * Whether the tree of a committed layer is the container's own already: its root directory belongs to the container's
 * root, and that is not the host's.
 */
export async function isShifted(store: LayerStore, id: LayerId, idMaps: IdMaps): Promise<boolean> {
	const { uid, gid } = hostRoot(idMaps);
	if (uid === 0 && gid === 0) return false;
	const root = await rootOf(store, id);
	return root.uid === uid && root.gid === gid;
}

/** The root directory of the layer's tree, looked at without a mount where the layer has a directory of its own. */
async function rootOf(store: LayerStore, id: LayerId): Promise<Stats> {
	const { upper } = store.paths(id);
	if (upper !== undefined) return statSync(upper);
	await using mount = await store.mount(id);
	return statSync(mount.path);
}
