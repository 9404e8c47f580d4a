/**
 * The words that the parts of this room, the drivers and the store share: serialisable, so that they cross
 * to a worker thread as they are.
 */
import type { ChainId, DiffId } from "./digest/digest.ts";

/** How overlayfs marks are written: `trusted.overlay.*` as root, `user.overlay.*` for userxattr mounts. */
export type OverlayXattrPrefix = "trusted.overlay." | "user.overlay.";

/** Where a layer tar is applied. */
export type ApplyTarget = TreeTarget | PackedTarget;

/**
 * The layer becomes files and directories.
 * - `overlay`: `directory` is a layer's `diff/`; whiteouts become whiteout devices and opaque xattrs.
 * - `plain`: `directory` is a whole tree that the layer changes in place; whiteouts delete.
 */
export interface TreeTarget {
	readonly form: "overlay" | "plain";
	readonly directory: string;
	/** Trees below, top first, each a `diff/` in overlay form or a whole `root/`. Empty for `plain`. */
	readonly lowers: readonly string[];
	/**
	 * There will be lowers, but they are not known yet (containerd's `rebase`): whiteouts are then kept wherever they
	 * may hide something. Without it and without lowers, the layer is the bottom and whiteouts hide nothing.
	 */
	readonly lowersUnknown?: boolean | undefined;
	readonly xattrPrefix: OverlayXattrPrefix;
	/**
	 * Whether a hard link to a file of a lower may share the lower's inode (the target will be committed and
	 * so never written) or has to copy it (the target is, or becomes, a writable upper).
	 */
	readonly shareInodes: boolean;
	/**
	 * Where the lowers are still being written by other jobs: one Int32, 0 until they are whole, then 1, or 2 when
	 * they failed. A job waits for it before it looks into a lower (`awaitLowers`). Absent: they are whole.
	 */
	readonly lowersReady?: SharedArrayBuffer | undefined;
}

/** The layer is kept as its tar and an index of it, as files in `directory`, which has none of them yet. */
export interface PackedTarget {
	readonly form: "packed";
	readonly directory: string;
	/** Directories of the packed layers below, top first; each has its index once it is whole. */
	readonly lowers: readonly string[];
	/** As in a TreeTarget. */
	readonly lowersReady?: SharedArrayBuffer | undefined;
}

/**
 * What is compared for changes and diff.
 * - `upper`: `upper` is an overlay upper over `lowers` (top first): only the upper is walked.
 * - `trees`: two whole trees are compared; `from` is absent for "everything".
 * - `packed`: a packed layer over packed ones (directories, `lowers` top first).
 */
export type DiffSubject =
	| {
			readonly form: "upper";
			readonly upper: string;
			readonly lowers: readonly string[];
			readonly xattrPrefix: OverlayXattrPrefix;
	  }
	| { readonly form: "trees"; readonly from?: string | undefined; readonly to: string }
	| { readonly form: "packed"; readonly layer: string; readonly lowers: readonly string[] };

/** A layer's tar as a file. Nobody writes it. */
export interface KeptTar {
	readonly path: string;
	readonly diffId: DiffId;
	readonly sizeBytes: number;
}

/** A subject that is walked as directories. */
export type TreeSubject = Exclude<DiffSubject, { form: "packed" }>;

/** One line of `docker diff`: A added, C changed, D deleted. `path` is absolute within the layer: `/etc/x`. */
export interface Change {
	readonly kind: "A" | "C" | "D";
	readonly path: Buffer;
}

/** Disk use: `sizeBytes` is blocks in use times 512, each inode once; as containerd's snapshot usage. */
export interface Usage {
	readonly sizeBytes: number;
	readonly inodes: number;
}

/**
 * Why something is not in a layer, or not as it was. Of a diff: `socket`, `whiteout-device`, `whiteout-name`,
 * `overlay-xattr`, `shrunk`. Of an apply: `aufs-name`, `overlay-xattr`, `xattr`, `acl`, `time`.
 */
export type WarningKind =
	| "socket"
	| "whiteout-device"
	| "whiteout-name"
	| "aufs-name"
	| "overlay-xattr"
	| "xattr"
	| "acl"
	| "time"
	| "shrunk";

/** What was left out or changed on the way into or out of a layer: one for each kind (and xattr), counted. */
export interface Warning {
	readonly kind: WarningKind;
	/** Name of the extended attribute, for kinds that are about one; escaped. */
	readonly xattr?: string | undefined;
	readonly count: number;
	/** Where it was first; within the layer, escaped. */
	readonly path: string;
	/** All of it in a sentence for people. */
	readonly text: string;
}

export type { ChainId, DiffId };
