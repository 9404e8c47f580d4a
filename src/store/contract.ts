/**
 * LayerStore: names, kinds, parents, labels, usage, mounts with counts, staging, trash, recovery.
 * Everything above (image, graphdriver, serve) is written against this interface.
 */
import type { Readable } from "node:stream";
import type { LayerKind, MountDescription } from "../driver/index.ts";
import type { IdMaps } from "../idmap/index.ts";
import type { ApplyResult, Change, DiffId, DiffResult, LayerSource, Usage } from "../layer/index.ts";

/** Key of an active layer or name of a committed one; see `parseLayerId`. Opaque: never becomes a path. */
export type LayerId = string & { readonly __layerId: true };

export type FlattenPolicy = "always" | "auto" | "never";

export type Labels = Readonly<Record<string, string>>;

export interface LayerInfo {
	readonly id: LayerId;
	readonly parent?: LayerId | undefined;
	readonly kind: LayerKind;
	readonly labels: Labels;
	/** Milliseconds since 1970. */
	readonly createdAtMs: number;
	readonly updatedAtMs: number;
	/** Digest of the uncompressed tar the layer came from or was last written as; known for image layers. */
	readonly diffId?: DiffId | undefined;
	/** Known once committed (may be filled in a moment later); active layers are counted on demand. */
	readonly usage?: Usage | undefined;
	readonly flattened: boolean;
	/** Number of layers below. */
	readonly depth: number;
	/** `<state root>/layers/<n>`. */
	readonly directory: string;
	/** How many holders the layer's mount has. Looked up when it is first read: read it before what changes it. */
	readonly mountCount: number;
}

export interface Mount extends AsyncDisposable {
	/** Where the layer's tree is. */
	readonly path: string;
	/** Gives this hold back; the last one unmounts. Twice is harmless. */
	unmount(): Promise<void>;
}

export interface OperationOptions {
	readonly signal?: AbortSignal | undefined;
	readonly onProgress?: ((doneBytes: number) => void) | undefined;
}

export interface CreateOptions {
	readonly parent?: LayerId | undefined;
	/** Default `active`. */
	readonly kind?: "active" | "view" | undefined;
	readonly labels?: Labels | undefined;
	readonly mountLabel?: string | undefined;
	/** Owner of a parentless layer's root directory and of overlay's work directory. */
	readonly idMaps?: IdMaps | undefined;
	/**
	 * The layers below will be seen through an idmapped mount with `idMaps`: the new root directory's owner is the
	 * one below as the map has it.
	 */
	readonly idMappedBelow?: boolean | undefined;
	/**
	 * Resolves as soon as the layer can be used and a kill cannot lose it; it is flushed and recorded a moment later,
	 * and then other processes see it. A power cut in that moment takes the layer away whole. See
	 * docs/decisions/0008-layers-made-early.md.
	 */
	readonly early?: boolean | undefined;
}

export interface ApplyOptions extends OperationOptions {
	readonly parent?: LayerId | undefined;
	readonly labels?: Labels | undefined;
	readonly idMaps?: IdMaps | undefined;
	readonly expectedDiffId?: DiffId | undefined;
	readonly expectedBlobDigest?: string | undefined;
}

export interface DiffOptions extends OperationOptions {
	/** Compare with this layer in place of the parent. `null`: with nothing (the whole tree). */
	readonly against?: LayerId | null | undefined;
	readonly idMaps?: IdMaps | undefined;
	readonly wholeSeconds?: boolean | undefined;
	/** Write the holes of sparse files as zeros, for readers that know no sparse members (dockerd's tar-split). */
	readonly expandHoles?: boolean | undefined;
	/** Leave out, with a warning, what a layer cannot say, also where the parent's file then shows in its place. */
	readonly skipUnsupported?: boolean | undefined;
}

/** A layer of a chain that is imported. The first one's parent is in the store already (or absent). */
export interface ChainLayer {
	readonly id: LayerId;
	/** A `Readable` that fails makes the import fail: no layer is ever taken from a cut-off stream. */
	readonly source: LayerSource | Readable;
	readonly labels?: Labels | undefined;
	readonly expectedDiffId?: DiffId | undefined;
	readonly expectedBlobDigest?: string | undefined;
}

export interface ImportChainOptions {
	/** What the bottom layer stands on. */
	readonly parent?: LayerId | undefined;
	readonly idMaps?: IdMaps | undefined;
	/** A layer whose id is there already (also by the time of recording) is kept, and not an error. */
	readonly keepExisting?: boolean | undefined;
	readonly signal?: AbortSignal | undefined;
	/** `index` is that of the layer in the list. Layers are applied side by side. */
	readonly onProgress?: ((index: number, doneBytes: number) => void) | undefined;
	/** A layer's content is on disk (not yet recorded). */
	readonly onApplied?: ((index: number, applied: ApplyResult) => void) | undefined;
	/** Part of the transaction that records the layers; what it throws undoes it all. */
	readonly also?: ((transaction: StoreTransaction) => void) | undefined;
}

/** `applied` is absent for a layer that was there already. */
export interface ImportedLayer extends LayerInfo {
	readonly applied?: ApplyResult | undefined;
}

/** Records of a room above the store, by key. Values are JSON; keys are up to 1024 bytes of UTF-8. */
export interface RecordsReader<T> {
	get(key: string): T | undefined;
	/** In order of key. */
	list(): Iterable<readonly [key: string, value: T]>;
}

export interface RecordsWriter<T> extends RecordsReader<T> {
	put(key: string, value: T): void;
	remove(key: string): void;
}

export interface Records<T> extends RecordsReader<T> {
	/** Durable when it resolves. */
	put(key: string, value: T): Promise<void>;
	remove(key: string): Promise<void>;
}

/** Within a transaction: alone among all writers of all processes; reads see its own writes. Synchronous. */
export interface StoreTransaction {
	records<T>(namespace: string): RecordsWriter<T>;
	has(id: LayerId): boolean;
	get(id: LayerId): LayerInfo | undefined;
	children(id: LayerId): readonly LayerId[];
}

export interface RemoveOptions {
	/** Unmounts first, however many hold the mount. Children are never removed with it. */
	readonly force?: boolean | undefined;
	/** Part of the transaction that removes the records; what it throws undoes it all. */
	readonly also?: ((transaction: StoreTransaction) => void) | undefined;
	/**
	 * Resolves at once, and the removal is recorded a moment later (not with `also`). A kill or a power cut in that moment
	 * brings the layer back whole: for callers that remove what they find and do not know, as containerd does.
	 */
	readonly early?: boolean | undefined;
}

/** A directory of the opener's own, on the store's filesystem; disposing removes it with its content. */
export interface ScratchDirectory extends AsyncDisposable {
	readonly path: string;
}

export interface CommitOptions {
	/** They replace the layer's. */
	readonly labels?: Labels | undefined;
	/** `false`: leave the layer as a diff, whatever the policy (for one that is no image and has few users). */
	readonly flatten?: boolean | undefined;
	/** Resolves as soon as the commit is durable; other processes see it a moment later. */
	readonly early?: boolean | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** A layer tar as it is written; `result` settles after the last byte. */
export interface DiffStream {
	readonly stream: Readable;
	readonly result: Promise<DiffResult>;
}

export interface LayerStore extends AsyncDisposable {
	/** A writable layer or a view. @throws EEXISTS, ENOTFOUND (parent), EKIND (parent is not committed) */
	create(id: LayerId, options?: CreateOptions): Promise<LayerInfo>;
	/**
	 * Makes a committed layer straight from a layer tar: staged, flushed, renamed, recorded.
	 * @throws EEXISTS, ENOTFOUND, ETAR, EUNSAFE, ECOMPRESSION, EDIGEST, ENOSPACE, EABORTED
	 */
	applyLayer(
		id: LayerId,
		source: LayerSource | Readable,
		options?: ApplyOptions,
	): Promise<LayerInfo & { readonly applied: ApplyResult }>;
	/**
	 * Makes a chain of committed layers, bottom first: applied side by side, flushed once, recorded in one
	 * transaction. All of them are there afterwards, or none.
	 * @throws as applyLayer
	 */
	importChain(layers: readonly ChainLayer[], options?: ImportChainOptions): Promise<readonly ImportedLayer[]>;
	/**
	 * As containerd's Commit: the active layer `key` becomes the committed layer `name`; the key is free at once.
	 * Constant in the layer's size but for the flush. `labels` replace.
	 * @throws EKIND (a view, a committed), EBUSY (mounted here), EEXISTS, ENOTFOUND
	 */
	commit(key: LayerId, name: LayerId, options?: CommitOptions): Promise<LayerInfo>;
	/** @throws EREFERENCED (children), EBUSY (mounted), ENOTFOUND */
	remove(id: LayerId, options?: RemoveOptions): Promise<void>;
	/** Removes several in one transaction; a child has to come before its parent. @throws as remove */
	removeAll(ids: readonly LayerId[], options?: RemoveOptions): Promise<void>;
	/** @throws ENOTFOUND */
	get(id: LayerId): LayerInfo;
	has(id: LayerId): boolean;
	/** In order of id. */
	list(): Iterable<LayerInfo>;
	/**
	 * Replaces the labels; a function makes the new ones from those before, with nobody changing them in between.
	 * @throws ENOTFOUND, and what the function throws
	 */
	setLabels(id: LayerId, labels: Labels | ((before: Labels) => Labels)): Promise<LayerInfo>;
	/** Records the diffID that a layer's tar turned out to have. */
	setDiffId(id: LayerId, diffId: DiffId): Promise<LayerInfo>;
	/** Ancestors, nearest first. */
	chain(id: LayerId): readonly LayerInfo[];
	children(id: LayerId): readonly LayerId[];
	/** Counted; the second mount returns the same path. Counts survive the process. */
	mount(id: LayerId, options?: { mountLabel?: string; signal?: AbortSignal }): Promise<Mount>;
	/** Gives one hold back by id (another process may have taken it). Of what is not mounted: harmless. */
	unmount(id: LayerId, options?: { force?: boolean }): Promise<void>;
	describeMounts(id: LayerId): readonly MountDescription[];
	changes(id: LayerId, options?: DiffOptions): Promise<readonly Change[]>;
	diff(id: LayerId, options?: DiffOptions): DiffStream;
	diffSize(id: LayerId, options?: DiffOptions): Promise<number>;
	usage(id: LayerId, options?: OperationOptions): Promise<Usage>;
	/** Makes the layer's `root/`; no-op where it has one. */
	flatten(id: LayerId, options?: OperationOptions): Promise<LayerInfo>;
	/** The records of a room above, kept with the layers. `namespace`: lower-case letters and `-`. */
	records<T>(namespace: string): Records<T>;
	/** Changes records of any namespaces, looking at layers, at once. Runs the synchronous `work` in a transaction. */
	transaction<R>(work: (transaction: StoreTransaction) => R): Promise<R>;
	/** Makes an empty directory for files in the making (spooled archives, blobs); a killed process's are swept. */
	scratch(): Promise<ScratchDirectory>;
	status(): StoreStatus;
	/** Deletes what was left in trash and staging by processes that are gone. */
	cleanup(): Promise<void>;
	/** Waits for background work (flattening, trash, usage) and lets go of the store. Leaves mounts alone. */
	close(): Promise<void>;
}

export interface StoreStatus {
	readonly root: string;
	readonly driver: string;
	readonly flattenPolicy: FlattenPolicy;
	readonly layers: { readonly active: number; readonly view: number; readonly committed: number };
	readonly mounted: number;
	readonly details: readonly (readonly [string, string])[];
}
