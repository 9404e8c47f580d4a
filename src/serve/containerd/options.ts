/** What can be chosen about the snapshotter, with the defaults. */

/** What `[proxy_plugins.lamella]` in containerd's configuration has as address. */
export const DEFAULT_CONTAINERD_SOCKET = "/run/lamella/containerd.sock";

export const ID_MAPS_OPTIONS = ["mount", "copy", "refuse"] as const;
export type IdMapsOption = (typeof ID_MAPS_OPTIONS)[number];

export interface SnapshotterOptions {
	/**
	 * What to do with `containerd.io/snapshot/uidmapping` and `gidmapping` over a parent that is not shifted yet: `mount`
	 * puts the maps into the mount options, for containerd 2.x to make idmapped mounts; `copy` puts a copy of the
	 * parent with shifted owners below; `refuse` says InvalidArgument.
	 */
	readonly idMaps: IdMapsOption;
	/** Tell an active snapshot's upper directory in the label `containerd.io/snapshot/overlay.upperdir`. */
	readonly upperdirLabel: boolean;
	/** Answer AlreadyExists to a Prepare whose `containerd.io/snapshot.ref` is committed over the same parent. */
	readonly remoteSnapshots: boolean;
}

export const DEFAULT_SNAPSHOTTER_OPTIONS: SnapshotterOptions = {
	idMaps: "mount",
	upperdirLabel: false,
	remoteSnapshots: false,
};
