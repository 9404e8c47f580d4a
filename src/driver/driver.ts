/**
 * How a layer's filesystem is realised. A driver knows directories and mounts; ids, names, parents, counts and
 * recovery are the store's. Every driver passes the suite in conformance.ts.
 */
import type { ApplyTarget, DiffSubject } from "../layer/index.ts";

/** A layer's directory: `<state root>/layers/<n>`, or a staged one that will be renamed there. */
export interface LayerPlace {
	readonly directory: string;
	/** There is a `root/` that holds the layer's whole tree. */
	readonly flattened: boolean;
}

export type LayerKind = "active" | "view" | "committed";

export type DriverName = "overlay" | "vfs";

/** A mount as mount(2) and containerd's `types.Mount` describe it. */
export interface MountDescription {
	readonly type: "bind" | "overlay";
	readonly source: string;
	/** As in fstab: `rw`, `rbind`, `lowerdir=…`. Never truncated; how they get past a page is the mounter's affair. */
	readonly options: readonly string[];
}

export interface MountRequest {
	readonly layer: LayerPlace;
	/** Ancestors, nearest first (the parent is chain[0]), up to and including the bottom. */
	readonly chain: readonly LayerPlace[];
	readonly kind: LayerKind;
	/** SELinux label for the mount. */
	readonly mountLabel?: string | undefined;
}

export interface PrepareOptions {
	readonly kind: "active" | "view";
	/** The directory has been begun by `prepareAhead`: only for an active layer. */
	readonly ahead?: boolean | undefined;
}

export interface UnmountOptions {
	/**
	 * Take the mount out of sight even though somebody is using it (MNT_DETACH): they go on seeing, and writing
	 * into, the layer until they close what they hold.
	 */
	readonly detach?: boolean | undefined;
}

export interface Driver {
	readonly name: DriverName;
	/** Key and value pairs for `status`: backing filesystem, d_type, options in use. */
	status(): readonly (readonly [string, string])[];
	/** Whether flattening means anything here. */
	readonly flattens: boolean;
	/**
	 * Fills the staged directory of a new active or view layer over `chain` (nearest first): for overlay `diff/`
	 * and `work/`, for vfs a copy of the parent's tree. Nothing is flushed. The new layer's root directory has the
	 * owner, mode, times and xattrs of the one below; without a chain it is root's, with mode 0755.
	 */
	prepare(staged: string, chain: readonly LayerPlace[], options: PrepareOptions): Promise<void>;
	/**
	 * Begins the staged directory of an active layer that is not asked for yet, for `prepare` to have less to do. Not there
	 * where nothing can be done without knowing what is below.
	 */
	prepareAhead?(staged: string): void;
	/**
	 * Fills the staged directory of a new committed layer, and says where its tar is to be applied. With vfs the
	 * chain must be whole; with overlay it may still be written (then the root directory is given its attributes
	 * by what is there of it).
	 */
	prepareApply(staged: string, chain: readonly LayerPlace[]): Promise<ApplyTarget>;
	/** What a mount of the layer is, for somebody else to make it. */
	describeMount(request: MountRequest): MountDescription;
	/**
	 * Mounts the layer and returns the path of its tree; a layer that is mounted already is left as it is. vfs may
	 * return a directory without mounting.
	 * @throws {LamellaError} `ESYSTEM`, `EPERMISSION`, `ENOTSUPPORTED` (too many lowers for an old kernel; a mount
	 * label that cannot be given)
	 */
	mount(request: MountRequest): string;
	/**
	 * Undoes `mount`, with everything that others mounted below it; harmless where nothing is mounted.
	 * @throws {LamellaError} `EBUSY` naming who uses it, unless `detach`
	 */
	unmount(layer: LayerPlace, options?: UnmountOptions): void;
	/** Whether the layer is mounted in this thread's mount namespace now (asks the kernel). */
	isMounted(layer: LayerPlace): boolean;
	/** What to compare for the layer's changes against its parent. */
	diffSubject(layer: LayerPlace, chain: readonly LayerPlace[]): DiffSubject;
	/** Directories whose content is the layer's own, for usage. */
	ownDirectories(layer: LayerPlace): readonly string[];
	/**
	 * Removes what only an active layer needs (work/, merged/) when it is committed. Leaves it where the committed layer
	 * is mounted: what a killed process had begun may be finished when others look at the layer.
	 */
	finishCommit(layer: LayerPlace): void;
}
