/**
 * How a layer becomes a filesystem. A driver knows directories and mounts; ids, names, parents, counts and
 * recovery are the store's. Every driver passes the suite in testing/conformance.ts.
 */
import type { IdMaps } from "../idmap/index.ts";
import type { RunOptions } from "../jobs/index.ts";
import type {
	ApplyTarget,
	DiffId,
	DiffSubject,
	KeptTar,
	LayerJobs,
	TreeProblem,
	Usage,
} from "../layer/index.ts";
import type { LayerForm } from "./form.ts";

/** A layer's directory, `<state root>/layers/<n>` or a staged one that will be renamed there, and its form. */
export interface LayerPlace {
	readonly directory: string;
	/** Where it is mounted: a directory that is made for the mount, and goes with it. */
	readonly mountPoint: string;
	readonly form: LayerForm;
	/** Of its tar, where that is known: a packed layer's files are not to be those of another. */
	readonly diffId?: DiffId | undefined;
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

export const DRIVER_NAMES = ["packed", "overlay", "vfs"] as const;
export type DriverName = (typeof DRIVER_NAMES)[number];

/** Where a new layer's tar is to be applied. What it reads of the layers below stays readable until this is disposed. */
export interface PreparedApply extends AsyncDisposable {
	readonly form: LayerForm;
	readonly target: ApplyTarget;
}

/** A mount as mount(2) and containerd's `types.Mount` describe it. */
export interface MountDescription {
	readonly type: "bind" | "overlay";
	readonly source: string;
	/** As in fstab: `rw`, `rbind`, `lowerdir=…`. Never cut; who mounts copes with options longer than a page. */
	readonly options: readonly string[];
}

export interface MountRequest {
	readonly layer: LayerPlace;
	/**
	 * Ancestors, nearest first: the parent, and so on to the bottom. After one with a fold comes the layer that the fold stands
	 * on, and below one that stands alone nothing has to follow.
	 */
	readonly chain: readonly LayerPlace[];
	readonly kind: LayerKind;
	/** SELinux label for the mount. */
	readonly mountLabel?: string | undefined;
}

export interface PrepareOptions {
	readonly kind: "active" | "view";
	/** The new root directory gets the owner that it would have, mapped to the host by these. */
	readonly idMaps?: IdMaps | undefined;
}

export interface UnmountOptions {
	/**
	 * Take the mount out of sight even though somebody is using it (MNT_DETACH): they go on seeing, and writing
	 * into, the layer until they close what they hold.
	 */
	readonly detach?: boolean | undefined;
}

/** One thing that is wrong with a layer's files. What is derived can be made again from the layers' content. */
export interface LayerProblem {
	readonly kind:
		| TreeProblem["kind"]
		| "content-missing"
		| "content-damaged"
		| "derived-missing"
		| "derived-left";
	readonly path: string;
	/** A sentence for people, without the layer's name. */
	readonly message: string;
}

/** What a check of a layer's content found. */
export interface Checked {
	/** Whether there was something to compare its content with. */
	readonly isVerified: boolean;
	readonly problems: readonly LayerProblem[];
}

export interface ContentCheckOptions extends RunOptions {
	/** When the layer was committed. */
	readonly sealedAtNs: bigint;
}

export interface ReleaseOptions {
	/** Mounts that others made by `describeMount` are gone, too. */
	readonly described?: boolean | undefined;
}

/** Where the parts of a layer are, in the words of moby's graph drivers. */
export interface LayerPaths {
	/** Where the whole tree is, if the layer has one; that of a packed layer only while something stands on it. */
	readonly root?: string | undefined;
	readonly upper?: string | undefined;
	/** Top first. */
	readonly lowers: readonly string[];
	readonly work?: string | undefined;
	readonly merged: string;
}

/** Trees to compare, kept readable until this is disposed. */
export interface HeldSubject extends AsyncDisposable {
	readonly subject: DiffSubject;
}

/** Makes one root for a whole chain, so that a mount has fewer trees to merge. */
export interface Flattening {
	/** Makes the root of `layer` over `chain` in `staged`, which does not exist yet. */
	make(
		layer: LayerPlace,
		chain: readonly LayerPlace[],
		staged: string,
		options: FlattenOptions,
	): Promise<MadeRoot>;
	/** Fills the staged directory of a new committed layer with what `layers` (top first) changed over `chain`. */
	merge(
		staged: string,
		layers: readonly LayerPlace[],
		chain: readonly LayerPlace[],
		options?: RunOptions,
	): Promise<LayerForm>;
	/** Moves the root that `make` made into the layer, whose form is `form` from then on; one that is there already stays. */
	place(directory: string, staged: string, form: LayerForm): void;
	/** The paths of roots that were placed and never recorded. */
	stale(layer: LayerPlace): readonly string[];
}

export interface FlattenOptions extends RunOptions {
	/** Flush it, too. */
	readonly sync: boolean;
	/** Make a fold of so many places, the layer's included, over the rest of the chain. */
	readonly fold?: number | undefined;
}

export interface MadeRoot {
	/** What the layer's form will be. */
	readonly form: LayerForm;
	/** How many files and directories were made. */
	readonly entries: number;
	/** What a fold stands on. */
	readonly over?: LayerPlace | undefined;
}

/**
 * Taking what was written to a mounted layer away from its writers, and going on at the same path with another directory.
 * The kernel sees to it that nobody writes meanwhile: it makes nothing read-only that is open for writing.
 */
export interface Sealing {
	/**
	 * Makes the mount of an active layer, where there is one, read-only wherever it is seen, and flushes the layer, what is in
	 * `also`, and `next`. The root directory of the new active layer in `next` gets the owner, mode, times and xattrs of this one's.
	 * @throws {LamellaError} `EBUSY` naming who has files open for writing, or what is mounted inside or by others;
	 * `ENOTSUPPORTED` where the mount is of a kind that cannot be sealed
	 */
	freeze(layer: LayerPlace, next: string, also: readonly string[], options?: RunOptions): Promise<void>;
	/** Undoes `freeze`. */
	thaw(layer: LayerPlace): void;
	/**
	 * Puts a new mount in the place of the one that is there. A lookup of the path from now on gives the new one; who has the
	 * old one open, or as root or working directory, goes on reading it.
	 */
	swap(request: MountRequest): Promise<void>;
	/**
	 * Ends what a killed process began: where what is mounted is the layer in its directory, it becomes writable again; where it
	 * is the one that the layer had before, it is swapped. Harmless where nothing is mounted.
	 */
	settle(request: MountRequest): Promise<void>;
}

/** Putting the content of a committed layer in place once more, from the tar that it came from. */
export interface Repair {
	/**
	 * A cheap look at what the layer consists of, without reading its content.
	 * @throws {LamellaError} `ECORRUPT` where something is missing, cut short, or was changed
	 */
	look(layer: LayerPlace): void;
	/** What was made of the layers' content goes; mounts that stand on it keep it. */
	forget(layers: Iterable<LayerPlace>): void;
	/** Moves what was applied in `staged` into the layer's directory, and calls `moved` after each step. */
	place(staged: string, layer: LayerPlace, moved: () => void): void;
}

export interface Driver {
	readonly name: DriverName;
	/** The form of the layers that `prepare` makes. */
	readonly form: LayerForm;
	/** Absent where every layer is a whole tree anyway. */
	readonly flattening?: Flattening | undefined;
	/** Absent where an active layer is handed out as a directory, without a mount. */
	readonly sealing?: Sealing | undefined;
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
	/** Whether layers of a chain may be applied side by side: `prepareApply` then looks only at those layers below that are complete. */
	readonly appliesSideBySide: boolean;
	/** Fills the staged directory of a new committed layer, and says where its tar is to be applied. */
	prepareApply(staged: string, chain: readonly LayerPlace[]): Promise<PreparedApply>;
	/** Makes in advance what the first mount of a layer needs that was just applied. */
	prime(layer: LayerPlace, chain: readonly LayerPlace[], options?: RunOptions): Promise<void>;
	/** Describes the layer's mount, for somebody else to make it. The lowers of that mount stay until `release`. */
	describeMount(request: MountRequest): Promise<MountDescription>;
	/** Where the parts of a layer are. */
	paths(layer: LayerPlace, chain: readonly LayerPlace[]): LayerPaths;
	/** Whether a writable layer still shows exactly what its parent does; undefined where that takes a comparison. */
	isUntouched(layer: LayerPlace, chain: readonly LayerPlace[]): Promise<boolean | undefined>;
	/**
	 * Mounts the layer and returns the path of its tree; a layer that is mounted already is left as it is. vfs may
	 * return a directory without mounting.
	 * @throws {LamellaError} `ESYSTEM`, `EPERMISSION`, `ENOTSUPPORTED` (too many lowers for an old kernel; a mount
	 * label that cannot be given)
	 */
	mount(request: MountRequest): Promise<string>;
	/**
	 * Undoes `mount`, with everything that others mounted below it; harmless where nothing is mounted.
	 * @throws {LamellaError} `EBUSY` naming who uses it, unless `detach`
	 */
	unmount(layer: LayerPlace, options?: UnmountOptions): void;
	/** Call it after `unmount`, and before a layer is committed or removed: its mount needs nothing below it any more. */
	release(layer: LayerPlace, chain: Iterable<LayerPlace>, options?: ReleaseOptions): Promise<void>;
	/** Whether the layer is mounted in this thread's mount namespace now (asks the kernel). */
	isMounted(layer: LayerPlace): boolean;
	/** Gives the trees that show what the layer changed, and keeps them readable until the result is disposed. */
	hold(layer: LayerPlace, chain: readonly LayerPlace[]): Promise<HeldSubject>;
	/** Looks whether the parts that the layer's form consists of are there, without reading their content. */
	look(layer: LayerPlace): readonly LayerProblem[];
	/** Reads a committed layer's content, and compares it with what was kept of it. */
	check(layer: LayerPlace, chain: readonly LayerPlace[], options: ContentCheckOptions): Promise<Checked>;
	/** The form that a layer has without what is derived from it and those below. */
	withoutDerived(form: LayerForm): LayerForm;
	/** Takes away what is derived; `discard` deletes a directory. */
	dropDerived(layer: LayerPlace, discard: (directory: string) => void): void;
	/** Absent where a layer's content cannot be put in place once more. */
	readonly repair?: Repair | undefined;
	/**
	 * The layer's tar, where the driver keeps it as a file, just as a diff without options would be.
	 * @throws {LamellaError} `ECORRUPT` where that file was changed
	 */
	keptTar(layer: LayerPlace): KeptTar | undefined;
	/** Counts the disk use of what is the layer's own. */
	usage(layer: LayerPlace, options?: RunOptions): Promise<Usage>;
	/**
	 * Call it before a layer is recorded as committed. Flushes the layer's content, then the files and directories in `also`.
	 */
	seal(layer: LayerPlace, also: readonly string[], options?: RunOptions): Promise<void>;
	/** As `seal`, of layers to which tars were applied, and which may so have many files. */
	sealApplied(layers: readonly LayerPlace[], also: readonly string[], options?: RunOptions): Promise<void>;
	/**
	 * Removes what only an active layer needs (work/), after the commit. Leaves it where the committed layer is
	 * mounted already: the commit of a killed process may be finished while others look at the layer.
	 */
	finishCommit(layer: LayerPlace): Promise<void>;
	/**
	 * Fills the staged directory of a new committed layer with the content of `layer`, over the same chain. `share`: by
	 * hard links, where the filesystem takes them (only of a committed layer, which nobody writes); else by reflinks or copies.
	 * Returns the form of the copy.
	 */
	copy(staged: string, layer: LayerPlace, options: CopyOptions): Promise<LayerForm>;
}

export interface CopyOptions extends RunOptions {
	readonly share: boolean;
}
