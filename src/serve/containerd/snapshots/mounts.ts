/**
 * A snapshot's mount as containerd is to make it. The options have to fit into the page that mount(2) takes, after
 * containerd has cut what all lowers have in common (it changes into that directory first): a chain that does not fit is
 * flattened here at last, though the policies do it long before and in the background.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { MountDescription } from "../../../driver/index.ts";
import type { LayerInfo, LayerStore } from "../../../store/index.ts";
import type { MountSchema } from "../generated/containerd/types/mount_pb.ts";
import { idMapOptions, idMapsOf, isShifted } from "../id-maps/index.ts";
import type { SnapshotterOptions } from "../options.ts";

/** Bytes of options that mount(2) takes, without the NUL. containerd keeps half a kilobyte of it for itself. */
const MOUNT_DATA_MAX = 4095 - 512;

export type Mounts = MessageInitShape<typeof MountSchema>[];

export async function describeMounts(
	store: LayerStore,
	{ id, parent, labels }: LayerInfo,
	options: SnapshotterOptions,
): Promise<Mounts> {
	let described = await store.describeMounts(id);
	if (parent !== undefined && described.some((mount) => compactedBytes(mount) > MOUNT_DATA_MAX)) {
		await store.flatten(parent);
		described = await store.describeMounts(id);
	}
	const idMaps = options.idMaps === "mount" ? idMapsOf(labels) : undefined;
	// A writable directory alone is written with the host's numbers, as an upper directory is: nothing to map.
	const isMapped = idMaps !== undefined && parent !== undefined && !(await isShifted(store, parent, idMaps));
	const idMapped = isMapped ? idMapOptions(labels) : [];
	return described.map(({ type, source, options: own }) => ({
		type,
		source,
		options: [...own, ...idMapped],
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
