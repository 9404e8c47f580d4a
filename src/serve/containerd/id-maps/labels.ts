/**
 * The ID maps that a snapshot's labels ask for (`containerd.io/snapshot/uidmapping`, `gidmapping`), and whether there is
 * anything left to shift: containerd that was not told of `remap-ids` shifts by itself, commits what it has shifted, and
 * then sends the labels all the same with a snapshot over that.
 */
import { statSync } from "node:fs";
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
export function isShifted(store: LayerStore, id: LayerId, idMaps: IdMaps): boolean {
	const { uid, gid } = hostRoot(idMaps);
	if (uid === 0 && gid === 0) return false;
	const root = statSync(topDirectory(store, id));
	return root.uid === uid && root.gid === gid;
}

/** The directory whose owner the root of the layer's tree has. */
function topDirectory(store: LayerStore, id: LayerId): string {
	const [mount] = store.describeMounts(id);
	if (mount === undefined) throw new LamellaError("ECORRUPT", `layer "${id}" has no tree`, { layer: id });
	if (mount.type === "bind") return mount.source;
	const lowers = mount.options.find((option) => option.startsWith("lowerdir="));
	return lowers?.slice("lowerdir=".length).split(":")[0] ?? mount.source;
}
