/**
 * The bulk file work that runs in worker threads (src/jobs runs it; jobs.ts in this room is the worker's entry).
 * Requests and results are plain data.
 */
import type { IdMaps } from "../../idmap/index.ts";
import type {
	ApplyTarget,
	Change,
	DiffId,
	DiffSubject,
	OverlayXattrPrefix,
	Usage,
	Warning,
} from "../contract.ts";

export type Compression = "none" | "gzip" | "zstd";

/** Where a layer's tar comes from. A `range` may be compressed; a `pipe` is read until its writer closes. */
export type LayerSource =
	| {
			readonly from: "range";
			readonly path: string;
			readonly offset: number;
			readonly sizeBytes: number;
			/** `detect` looks at the first bytes. */
			readonly compression: Compression | "detect";
	  }
	| { readonly from: "pipe"; readonly fd: number; readonly compression: Compression | "detect" };

export interface ApplyRequest {
	readonly target: ApplyTarget;
	readonly source: LayerSource;
	/** Container ids in the tar become host ids on disk. */
	readonly idMaps?: IdMaps | undefined;
	/** Checked when given; the job fails with EDIGEST and the target is left for the caller to discard. */
	readonly expectedDiffId?: string | undefined;
	/** Digest of the bytes as they come from the source (compressed). Checked when given. */
	readonly expectedBlobDigest?: string | undefined;
	/**
	 * Make the tar's digest in a thread of its own: for a layer so large that the others are done long before it, or
	 * where processors idle.
	 */
	readonly digestAside?: boolean | undefined;
	/** Call syncfs on the target's filesystem at the end. */
	readonly sync?: boolean | undefined;
}

export interface ApplyResult {
	readonly diffId: DiffId;
	/** Length of the uncompressed tar. */
	readonly tarSizeBytes: number;
	/**
	 * What the layer holds: lengths of files and of symlinks' targets, each inode once, as moby's overlay2 counts it
	 * (pkg/directory's Size) for `docker history` and `docker images`. In a plain tree: of what the tar's entries made.
	 */
	readonly contentSizeBytes: number;
	readonly entries: number;
	readonly usage: Usage;
	/** What was left out on purpose, and why. */
	readonly warnings: readonly Warning[];
}

export interface DiffRequest {
	readonly subject: DiffSubject;
	/** The job writes the tar here (a pipe or file), and closes nothing. */
	readonly fd: number;
	/** Host ids on disk become container ids in the tar. */
	readonly idMaps?: IdMaps | undefined;
	/** Cut times to whole seconds (for clients that cannot read PAX times). */
	readonly wholeSeconds?: boolean | undefined;
	/**
	 * Write holes as zeros, for readers that do not know GNU sparse files. dockerd is one: it keeps a layer's tar
	 * as headers plus the files' content (tar-split), and could not make the same tar again.
	 */
	readonly expandHoles?: boolean | undefined;
	/**
	 * Go on where a layer cannot say a change, so that its parent's file would show in its place: the change is then
	 * left out, with a warning.
	 */
	readonly skipUnsupported?: boolean | undefined;
}

export interface DiffResult {
	readonly diffId: DiffId;
	readonly tarSizeBytes: number;
	/** What applying the tar would give as its `contentSizeBytes`. */
	readonly contentSizeBytes: number;
	/** What was left out on purpose, and why. */
	readonly warnings: readonly Warning[];
}

export interface FlushRequest {
	/** Directories to be flushed with all that is below. */
	readonly trees: readonly string[];
	/** Files and directories to be flushed by themselves, in this order. */
	readonly paths: readonly string[];
}

export interface ImageRequest {
	/** Directories of packed layers, top first. */
	readonly layers: readonly string[];
	/** The file to be made. */
	readonly target: string;
}

export interface ImageResult {
	readonly entries: number;
	readonly sizeBytes: number;
}

export interface CheckImageRequest {
	/** Directories of packed layers, top first. */
	readonly layers: readonly string[];
	readonly image: string;
}

export interface CheckTreeRequest {
	/** The layer's own files: a `diff/`, or a whole tree. */
	readonly directory: string;
	readonly xattrPrefix: OverlayXattrPrefix;
	/** When the layer was committed. */
	readonly sealedAtNs: bigint;
	/** Its root, and the lowers (top first) that it was made of. */
	readonly root?: { readonly directory: string; readonly lowers: readonly string[] } | undefined;
}

export interface TreeProblem {
	readonly kind: "marks-misread" | "content-rewritten" | "derived-damaged";
	/** Within the layer, or of the root. */
	readonly path: string;
	readonly message: string;
}

/** Job name → its request and its result. */
export interface LayerJobs {
	readonly apply: { request: ApplyRequest; result: ApplyResult };
	readonly diff: { request: DiffRequest; result: DiffResult };
	readonly changes: { request: { subject: DiffSubject }; result: readonly Change[] };
	/** What diff's contentSizeBytes would be, without making the tar. */
	readonly diffSize: { request: { subject: DiffSubject }; result: number };
	/**
	 * Hard-links the merged view of `lowers` (top first) to the empty directory `target`, with marks for what they hide of the
	 * trees `over` which they stand.
	 */
	readonly flatten: {
		request: {
			lowers: readonly string[];
			over?: readonly string[] | undefined;
			target: string;
			xattrPrefix: OverlayXattrPrefix;
			sync?: boolean;
		};
		result: { entries: number };
	};
	/** Makes the image of a chain of packed layers, and flushes it. */
	readonly image: { request: ImageRequest; result: ImageResult };
	/** What is wrong with a packed layer's files, or with an image, in sentences. */
	readonly checkPacked: { request: { layer: string }; result: readonly string[] };
	readonly checkImage: { request: CheckImageRequest; result: readonly string[] };
	readonly checkTree: { request: CheckTreeRequest; result: readonly TreeProblem[] };
	/**
	 * Copies a tree whole: types, owners, modes, ns times, xattrs, link sets, holes; reflinks where it can. `share`: hard
	 * links in place of copies where the filesystem takes them, for what nobody writes any more.
	 */
	readonly copy: {
		request: {
			from: string;
			to: string;
			sync?: boolean;
			share?: boolean | undefined;
			/** The tree is an upper directory: its marks of this prefix (opaque, whiteout) belong to it. */
			marks?: OverlayXattrPrefix | undefined;
		};
		result: { entries: number };
	};
	/** Removes trees, however deep; what is gone already is no error. One that cannot be removed does not keep the others. */
	readonly remove: { request: { paths: readonly string[] }; result: undefined };
	readonly usage: { request: { directories: readonly string[] }; result: Usage };
	/** Calls syncfs on the filesystem of `path`: everything written there before is durable afterwards. */
	readonly sync: { request: { path: string }; result: undefined };
	readonly flush: { request: FlushRequest; result: undefined };
	/**
	 * Makes the filesystem that is mounted at `target` read-only, everywhere it is mounted; that flushes it first. Throws a
	 * SystemError, EBUSY where something is open for writing.
	 */
	readonly remount: { request: { target: string }; result: undefined };
}
