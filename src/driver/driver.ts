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

export interface Driver {
	readonly name: "overlay" | "vfs";
	/** Key and value pairs for `status`: backing filesystem, d_type, options in use. */
	status(): readonly (readonly [string, string])[];
	/** Whether flattening means anything here. */
	readonly flattens: boolean;
	/**
	 * Fills the staged directory of a new active or view layer over `chain` (nearest first): for overlay `diff/`
	 * and `work/`, for vfs a copy of the parent's tree. Nothing is flushed.
	 */
	prepare(staged: string, chain: readonly LayerPlace[], kind: "active" | "view"): Promise<void>;
	/** Fills the staged directory of a new committed layer, and says where its tar is to be applied. */
	prepareApply(staged: string, chain: readonly LayerPlace[]): Promise<ApplyTarget>;
	/** What a mount of the layer is, for somebody else to make it. */
	describeMount(request: MountRequest): MountDescription;
	/**
	 * Mounts the layer and returns the path of its tree. vfs may return a directory without mounting.
	 * @throws {LamellaError} `ESYSTEM`, `ENOTSUPPORTED`
	 */
	mount(request: MountRequest): string;
	/** Undoes `mount`; harmless where nothing is mounted. */
	unmount(layer: LayerPlace): void;
	/** Whether the layer is mounted in this mount namespace now (looks at mountinfo). */
	isMounted(layer: LayerPlace): boolean;
	/** What to compare for the layer's changes against its parent. */
	diffSubject(layer: LayerPlace, chain: readonly LayerPlace[]): DiffSubject;
	/** Directories whose content is the layer's own, for usage. */
	ownDirectories(layer: LayerPlace): readonly string[];
	/** Removes what only an active layer needs (work/, merged/) when it is committed. */
	finishCommit(layer: LayerPlace): void;
}
