/**
 * How a layer's filesystem is realised. A driver knows directories and mounts; ids, names, parents, counts and
 * recovery are the store's. Every driver passes the suite in conformance.ts.
 */
import type { IdMaps } from "../idmap/index.ts";
import type { RunOptions } from "../jobs/index.ts";
import type { ApplyTarget, DiffSubject, LayerJobs, Usage } from "../layer/index.ts";
import type { LayerForm } from "./form.ts";

/** A layer's directory, `<state root>/layers/<n>` or a staged one that will be renamed there, and its form. */
export interface LayerPlace {
	readonly directory: string;
	readonly form: LayerForm;
}

/** Runs bulk file work, usually in a thread: a JobPool<LayerJobs>. */
export interface LayerJobRunner {
	run<K extends keyof LayerJobs & string>(
		name: K,
		request: LayerJobs[K]["request"],
		options?: RunOptions,
	): Promise<LayerJobs[K]["result"]>;
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
	/** The new root directory's owner is the one it would have, as these maps have it on the host. */
	readonly idMaps?: IdMaps | undefined;
}

export interface UnmountOptions {
	/**
	 * Take the mount out of sight even though somebody is using it (MNT_DETACH): they go on seeing, and writing
	 * into, the layer until they close what they hold.
	 */
	readonly detach?: boolean | undefined;
}

/** What a layer consists of, as moby's graph drivers tell it. */
export interface LayerPaths {
	/** The whole tree, where there is one that needs no mount. */
	readonly root?: string | undefined;
	readonly upper?: string | undefined;
	/** Top first. */
	readonly lowers: readonly string[];
	readonly work?: string | undefined;
	readonly merged: string;
}

/** Trees to compare, kept readable until it is disposed. */
export interface HeldSubject extends AsyncDisposable {
	readonly subject: DiffSubject;
}

/** Making one root for a whole chain, so that a mount merges less. */
export interface Flattening {
	/** Makes the root of `layer` over `chain` in `staged`, which does not exist yet. */
	make(
		layer: LayerPlace,
		chain: readonly LayerPlace[],
		staged: string,
		options: FlattenOptions,
	): Promise<void>;
	/** Gives a layer the root that `make` made; one that it has already stays. Returns the layer's new form. */
	place(directory: string, staged: string): LayerForm;
	/** A root that was placed and never recorded. */
	stale(layer: LayerPlace): string | undefined;
}

export interface FlattenOptions extends RunOptions {
	/** Make it durable, too. */
	readonly sync: boolean;
}

export interface Driver {
	readonly name: DriverName;
	/** The form of the layers that `prepare` and `prepareApply` make. */
	readonly form: LayerForm;
	/** Absent where every layer is a whole tree anyway. */
	readonly flattening?: Flattening | undefined;
	/** Key and value pairs for `status`: backing filesystem, d_type, options in use. */
	status(): readonly (readonly [string, string])[];
	/** How many trees a mount over `chain` (nearest first) merges. */
	mergeDepth(chain: readonly LayerPlace[]): number;
	/**
	 * Fills the staged directory of a new active or view layer over `chain` (nearest first): for overlay `diff/`
	 * and `work/`, for vfs a copy of the parent's tree. Nothing is flushed. The new layer's root directory has the
	 * owner, mode, times and xattrs of the one below; without a chain it is root's, with mode 0755.
	 */
	prepare(staged: string, chain: readonly LayerPlace[], options: PrepareOptions): Promise<void>;
	/** Whether layers of a chain may be applied side by side: `prepareApply` then only looks at what is there of the chain. */
	readonly appliesSideBySide: boolean;
	/** Fills the staged directory of a new committed layer, and says where its tar is to be applied. */
	prepareApply(staged: string, chain: readonly LayerPlace[]): Promise<ApplyTarget>;
	/** What a mount of the layer is, for somebody else to make it. */
	describeMount(request: MountRequest): MountDescription;
	/** Where the parts of a layer are. */
	paths(layer: LayerPlace, chain: readonly LayerPlace[]): LayerPaths;
	/** Whether a writable layer still shows exactly what its parent does; undefined where only a comparison tells. */
	isUntouched(layer: LayerPlace, chain: readonly LayerPlace[]): boolean | undefined;
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
	/** Keeps what the layer's changes against its parent are found from, readable for as long as the caller reads. */
	hold(layer: LayerPlace, chain: readonly LayerPlace[]): Promise<HeldSubject>;
	/** Counts what is the layer's own. */
	usage(layer: LayerPlace, options?: RunOptions): Promise<Usage>;
	/**
	 * Does what has to be done before a layer is recorded as committed: its content and the files and directories `also`
	 * are durable when it resolves.
	 */
	seal(layer: LayerPlace, also: readonly string[], options?: RunOptions): Promise<void>;
	/**
	 * Removes what only an active layer needs (work/, merged/) when it is committed. Leaves it where the committed layer
	 * is mounted: what a killed process had begun may be finished when others look at the layer.
	 */
	finishCommit(layer: LayerPlace): void;
	/**
	 * Fills the staged directory of a new committed layer with the content of `layer`, over the same chain. `share`: by
	 * hard links, where the filesystem takes them (only of a committed layer, which nobody writes); else by reflinks or copies.
	 */
	copy(staged: string, layer: LayerPlace, options: CopyOptions): Promise<void>;
}

export interface CopyOptions extends RunOptions {
	readonly share: boolean;
}
