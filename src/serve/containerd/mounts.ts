/**
 * A snapshot's mount as containerd is to make it. The options have to fit into the page that mount(2) takes, after
 * containerd has cut what all lowers have in common (it changes into that directory first): a chain that does not fit is
 * flattened here at last, though the policies do it long before and in the background.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { MountDescription } from "../../driver/index.ts";
import { LamellaError } from "../../errors/index.ts";
import { type IdMaps, parseIdMapLabel } from "../../idmap/index.ts";
import type { Labels, LayerId, LayerStore } from "../../store/index.ts";
import type { MountSchema } from "./generated/containerd/types/mount_pb.js";
import type { SnapshotterOptions } from "./options.ts";

const UID_LABEL = "containerd.io/snapshot/uidmapping";
const GID_LABEL = "containerd.io/snapshot/gidmapping";

/** Bytes of options that mount(2) takes, without the NUL. containerd keeps half a kilobyte of it for itself. */
const MOUNT_DATA_MAX = 4095 - 512;

export type Mounts = MessageInitShape<typeof MountSchema>[];

export async function describeMounts(
	store: LayerStore,
	id: LayerId,
	labels: Labels,
	options: SnapshotterOptions,
): Promise<Mounts> {
	let described = store.describeMounts(id);
	const { parent } = store.get(id);
	if (parent !== undefined && described.some((mount) => compactedBytes(mount) > MOUNT_DATA_MAX)) {
		await store.flatten(parent);
		described = store.describeMounts(id);
	}
	const idMapped = idMapOptions(labels, options);
	return described.map(({ type, source, options: own }) => ({
		type,
		source,
		// A writable directory alone is written with the host's numbers, as an upper directory is: nothing to map.
		options: type === "bind" && own.includes("rw") ? [...own] : [...own, ...idMapped],
	}));
}

/** How long the options get once what the lowers share is cut off them. */
function compactedBytes({ type, options }: MountDescription): number {
	if (type !== "overlay") return 0;
	const lowers = options.find((option) => option.startsWith("lowerdir="))?.slice("lowerdir=".length) ?? "";
	const paths = lowers.split(":");
	const shared = commonDirectory(paths);
	const cut = paths.length > 1 ? shared.length * paths.length : 0;
	return Buffer.byteLength(options.join(",")) - cut;
}

function commonDirectory([first = "", ...others]: readonly string[]): string {
	let end = first.length;
	for (const other of others) {
		let i = 0;
		while (i < end && first[i] === other[i]) i++;
		end = i;
	}
	return first.slice(0, first.lastIndexOf("/", end - 1) + 1);
}

/**
 * The ID maps that a snapshot's labels ask for.
 * @throws {LamellaError} `EINVALID` where one is malformed or alone, or where ID maps are refused
 */
export function idMapsOf(labels: Labels, options: SnapshotterOptions): IdMaps | undefined {
	const uid = labels[UID_LABEL];
	const gid = labels[GID_LABEL];
	if (uid === undefined && gid === undefined) return undefined;
	if (uid === undefined || gid === undefined) {
		throw new LamellaError("EINVALID", `${UID_LABEL} and ${GID_LABEL} have to be given together`);
	}
	const idMaps: IdMaps = { uids: parseIdMapLabel(uid), gids: parseIdMapLabel(gid) };
	if (options.idMaps === "refuse") {
		throw new LamellaError(
			"EINVALID",
			`snapshots with ID maps (${UID_LABEL}=${uid}) are refused here; leave "remap-ids" out of the capabilities in ` +
				"containerd's configuration, and containerd remaps by itself",
		);
	}
	return idMaps;
}

function idMapOptions(labels: Labels, options: SnapshotterOptions): string[] {
	const uid = labels[UID_LABEL];
	const gid = labels[GID_LABEL];
	if (options.idMaps !== "mount" || uid === undefined || gid === undefined) return [];
	return [`uidmap=${uid}`, `gidmap=${gid}`];
}
