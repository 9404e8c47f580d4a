/**
 * LayerStore: names, kinds, parents, labels, usage, mounts with counts, staging, trash, recovery.
 * Everything above (image, graphdriver, serve) is written against this interface.
 */
import type { Readable } from "node:stream";
import type { LayerForm, LayerKind, LayerPaths, MountDescription } from "../driver/index.ts";
import type { IdMaps } from "../idmap/index.ts";
import type {
	ApplyResult,
	Change,
	DiffId,
	DiffResult,
	Digest,
	KeptTar,
	LayerSource,
	Usage,
} from "../layer/index.ts";
import type { Finding, Found } from "./checking/finding.ts";

export type { FindingKind } from "./checking/finding-kinds.ts";
export type { Finding, Found };

/** Key of an active layer or name of a committed one; see `parseLayerId`. Opaque: never becomes a path. */
export type LayerId = string & { readonly __layerId: true };

export type FlattenPolicy = "always" | "auto" | "never";

export type Labels = Readonly<Record<string, string>>;

export interface LayerInfo {
	readonly id: LayerId;
	readonly parent?: LayerId | undefined;
	readonly kind: LayerKind;
	readonly labels: Labels;
	/** Nanoseconds since 1970. */
	readonly createdAtNs: bigint;
	readonly updatedAtNs: bigint;
	/** Digest of the uncompressed tar the layer came from or was last written as; known for image layers. */
	readonly diffId?: DiffId | undefined;
	/** Known once committed (may be filled in a moment later); active layers are counted on demand. */
	readonly usage?: Usage | undefined;
	/** How the driver keeps it. */
	readonly form: LayerForm;
	/** It has a root that stands for its whole chain when it is mounted. */
	readonly flattened: boolean;
	/** Number of layers below. */
	readonly depth: number;
	/** `<state root>/layers/<n>`. */
	readonly directory: string;
	/** Where it is mounted, while it is (vfs mounts only what must not change). It stays the same as long as the layer is. */
	readonly mountPoint: string;
	/** How many holders the layer's mount has. Looked up when it is first read, and then stays what it is. */
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
	 * `false`: resolves without a flush. A kill cannot lose the layer then, but a power cut may: for a layer that nobody
	 * will look for after one (a container's). Default `true`.
	 */
	readonly durable?: boolean | undefined;
}

export interface ApplyOptions extends OperationOptions {
	readonly parent?: LayerId | undefined;
	readonly labels?: Labels | undefined;
	readonly idMaps?: IdMaps | undefined;
	readonly expectedDiffId?: DiffId | undefined;
	readonly expectedBlobDigest?: string | undefined;
}

export interface DiffOptions extends OperationOptions {
	/** Compare with this layer instead of the parent. `null`: with nothing (the whole tree). */
	readonly against?: LayerId | null | undefined;
	readonly idMaps?: IdMaps | undefined;
	readonly wholeSeconds?: boolean | undefined;
	/** Write the holes of sparse files as zeros, for readers that know no sparse members (dockerd's tar-split). */
	readonly expandHoles?: boolean | undefined;
	/** Leave out, with a warning, what a layer cannot say, also where the parent's file then shows in its place. */
	readonly skipUnsupported?: boolean | undefined;
}

/** A layer that comes from elsewhere. It is opened when its turn has come: only some are fetched at a time. */
export interface FetchedSource {
	readonly from: "fetch";
	/** Of what comes, compressed or not. */
	readonly sizeBytes: number;
	readonly open: (signal: AbortSignal) => Promise<Readable>;
}

/** A layer of a chain that is imported. The first one's parent is in the store already (or absent). */
export interface ChainLayer {
	readonly id: LayerId;
	/** A `Readable` that fails makes the import fail: no layer is ever taken from a cut-off stream. */
	readonly source: LayerSource | Readable | FetchedSource;
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
	/** The top layer is an image's: what its first mount needs is made now. */
	readonly mountSoon?: boolean | undefined;
	readonly signal?: AbortSignal | undefined;
	/** `index` is that of the layer in the list. Layers are applied side by side. */
	readonly onProgress?: ((index: number, doneBytes: number) => void) | undefined;
	/** A layer's content is on disk (not yet recorded). */
	readonly onApplied?: ((index: number, applied: ApplyResult) => void) | undefined;
	/** Part of the transaction that records the layers; what it throws undoes it all. */
	readonly also?: ((transaction: StoreTransaction) => void) | undefined;
}

export interface RepairOptions extends OperationOptions {
	readonly onProgress?: ((doneBytes: number) => void) | undefined;
}

export interface CheckOptions {
	/** Only these layers. Default: all of them, and what the store knows of itself. */
	readonly layers?: readonly LayerId[] | undefined;
	/** Read all that committed layers hold, too. A tree has no digest to be compared with. */
	readonly deep?: boolean | undefined;
	/** Put right what can be. Nothing that might be wanted is deleted: it is moved to lost+found/. */
	readonly repair?: boolean | undefined;
	readonly signal?: AbortSignal | undefined;
	/** How much of the layers' content was read, of how much (disk use); only with `deep`. */
	readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
	/** What a room above finds wrong with its own records. */
	readonly also?: (() => Iterable<Found>) | undefined;
	/** Whether a record whose file the database does not know is whole, so that it may come back. Default: none. */
	readonly restores?: ((record: RestorableRecord) => boolean) | undefined;
}

/** What the file of a record says. */
export interface RestorableRecord {
	readonly namespace: string;
	readonly key: string;
	readonly value: unknown;
}

export interface CheckReport {
	/** How many layers were looked at. */
	readonly layers: number;
	/** Of a deep check: how many of them had nothing to compare their content with. */
	readonly unverified: number;
	readonly findings: readonly Finding[];
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

export interface PutOptions {
	/** Documents that live as long as this record names them. */
	readonly documents?: readonly Digest[] | undefined;
}

export interface RecordsWriter<T> extends RecordsReader<T> {
	/** @throws {LamellaError} `ENOTFOUND` where a document that it names is not there (any more) */
	put(key: string, value: T, options?: PutOptions): void;
	remove(key: string): void;
}

export interface Records<T> extends RecordsReader<T> {
	/** Durable when it resolves. */
	put(key: string, value: T, options?: PutOptions): Promise<void>;
	remove(key: string): Promise<void>;
}

/** Files of the rooms above, named by their digest. One that no record names any more is deleted. */
export interface Documents {
	/** Writes a document, durable when it resolves. One that is there already is left as it is. */
	put(bytes: Uint8Array): Promise<Digest>;
	/** @throws {LamellaError} `ENOTFOUND`, `ECORRUPT` where the file is not what its name says */
	get(digest: Digest): Buffer;
	/** Gives documents up that were put for nothing; those that a record names stay. */
	discard(digests: readonly Digest[]): Promise<void>;
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
	/**
	 * `false`: answer without the flush, for callers that would remove it again: a power cut may bring the layer back, whole. A kill
	 * cannot.
	 */
	readonly durable?: boolean | undefined;
	/** Part of the transaction that removes the records; what it throws undoes it all. */
	readonly also?: ((transaction: StoreTransaction) => void) | undefined;
}

/** A directory of the opener's own, on the store's filesystem; disposing removes it with its content. */
export interface ScratchDirectory extends AsyncDisposable {
	readonly path: string;
}

export interface CommitOptions {
	/** They replace the layer's. */
	readonly labels?: Labels | undefined;
	/** `false`: leave the layer as a diff, whatever the policy: for one that is not part of an image and has few users. */
	readonly flatten?: boolean | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** Makes all who write to a layer stand still, and lets them go on. */
export interface Freezer {
	/** Resolves when all stand still. */
	freeze(): Promise<void>;
	thaw(): Promise<void>;
}

export interface CheckpointOptions {
	/** Its name: such a checkpoint is kept until it is removed by it. Default `<layer>@<number>`, which goes with the layer. */
	readonly as?: LayerId | undefined;
	readonly labels?: Labels | undefined;
	/**
	 * Where files are open for writing: makes a copy of what the layer changed, by reflinks where the filesystem has them, while
	 * its writers stand still. The layer itself goes on as it was, over the same parent.
	 */
	readonly live?: Freezer | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** A checkpoint in the history of its layer. */
export interface CheckpointInfo extends LayerInfo {
	/** It was given its name, and stays until it is removed by it. */
	readonly named: boolean;
	/** Layers over it that are not the layer itself or other checkpoints of it. */
	readonly forks: readonly LayerId[];
}

export interface RollbackOptions {
	/** A checkpoint of the layer. Default: the last one. */
	readonly to?: LayerId | undefined;
	/** What the layer has now becomes a checkpoint of this name, in place of going away. */
	readonly keep?: LayerId | undefined;
	readonly signal?: AbortSignal | undefined;
}

export interface ForkOptions {
	/** A committed layer, a checkpoint for example, to start from. Default: what the layer has now. */
	readonly from?: LayerId | undefined;
	/** Of the new layers. */
	readonly labels?: Labels | undefined;
	readonly signal?: AbortSignal | undefined;
}

export interface SnapshotOptions {
	readonly labels?: Labels | undefined;
	readonly diffId?: DiffId | undefined;
	/** `false`: leave it as a diff, whatever the policy. */
	readonly flatten?: boolean | undefined;
	readonly signal?: AbortSignal | undefined;
	/** As for a diff, where the name is made of the digest. */
	readonly skipUnsupported?: boolean | undefined;
	/** Of the digesting. */
	readonly onProgress?: ((doneBytes: number) => void) | undefined;
	/** Part of the transaction that records the layer; what it throws undoes it all. */
	readonly also?: ((transaction: StoreTransaction) => void) | undefined;
}

/** Gives a layer its name once its content stands still and is digested. */
export type NameOfContent = (diff: DiffResult) => LayerId | Promise<LayerId>;

/** A layer tar as it is written; `result` settles after the last byte. */
export interface DiffStream {
	readonly stream: Readable;
	readonly result: Promise<DiffResult>;
}

/** What the store's records say, for callers that change nothing. */
export interface LayerReader {
	/** @throws ENOTFOUND */
	get(id: LayerId): LayerInfo;
	has(id: LayerId): boolean;
	/** In order of id. */
	list(): Iterable<LayerInfo>;
	/** Ancestors, nearest first. */
	chain(id: LayerId): readonly LayerInfo[];
	children(id: LayerId): readonly LayerId[];
	/** Of each of `ids` that is there, by one look. */
	childrenOfEach(ids: readonly LayerId[]): ReadonlyMap<LayerId, readonly LayerId[]>;
	/** The layer's checkpoints, newest first. @throws ENOTFOUND */
	history(id: LayerId): readonly CheckpointInfo[];
	/** The records of a room above, kept with the layers. `namespace`: lower-case letters and `-`. */
	records<T>(namespace: string): RecordsReader<T>;
}

export interface LayerStore extends LayerReader, AsyncDisposable {
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
	 * Those of `ids` whose data is missing, cut short or was changed, as far as a cheap look tells (as at a mount).
	 * @throws ENOTFOUND
	 */
	damaged(ids: readonly LayerId[]): readonly LayerId[];
	/**
	 * Puts the data of such a layer in place once more, from its tar; those below it come first. The record stays, and so do the
	 * layers above. What is mounted stays as it is. Owners are the tar's: it is not for a layer that was applied with ID maps.
	 * @throws ECORRUPT (another form), and as applyLayer
	 */
	repair(layer: ChainLayer, options?: RepairOptions): Promise<void>;
	/**
	 * As containerd's Commit: the active layer `key` becomes the committed layer `name`; the key is free at once.
	 * Its time does not grow with the layer, but for the flush. `labels` replace the layer's.
	 * @throws EKIND (a view, a committed), EBUSY (mounted here), EEXISTS, ENOTFOUND
	 */
	commit(key: LayerId, name: LayerId, options?: CommitOptions): Promise<LayerInfo>;
	/**
	 * The content of `from` becomes one more committed layer over the same parent; `from` stays as it is and may be mounted.
	 * By hard links where `from` is committed, else by reflinks where the filesystem has them, else by a copy.
	 * Where the name is made of the content, a layer of that name over the same parent is kept.
	 * @throws EEXISTS, ENOTFOUND, ENOSPACE, EABORTED
	 */
	snapshot(from: LayerId, name: LayerId | NameOfContent, options?: SnapshotOptions): Promise<LayerInfo>;
	/**
	 * What the active layer has now becomes a committed layer, its checkpoint, and the layer goes on over it at the same path,
	 * mounted or not. Its time does not grow with the layer, but for the flush.
	 * @throws EKIND, EBUSY (files are open for writing), EEXISTS, ENOTFOUND
	 */
	checkpoint(id: LayerId, options?: CheckpointOptions): Promise<LayerInfo>;
	/**
	 * The active layer is again as at a checkpoint of it, at the same path. Later checkpoints that have no name and no forks go.
	 * @throws EKIND, EBUSY (files are open for writing), ENOTFOUND (no such checkpoint), EEXISTS (`keep`)
	 */
	rollback(id: LayerId, options?: RollbackOptions): Promise<LayerInfo>;
	/**
	 * New active layers `names` that start from where the layer is now, recorded in one transaction. `from` left out makes a
	 * checkpoint, unless nothing was changed since the last one.
	 * @throws EKIND, EBUSY (files are open for writing), EEXISTS, ENOTFOUND
	 */
	fork(id: LayerId, names: readonly LayerId[], options?: ForkOptions): Promise<readonly LayerInfo[]>;
	/**
	 * The layer's checkpoints become one, of the last one's name; those with a name or forks stay beside it. Returns the one.
	 * A mounted layer that has changes since gets one more checkpoint, over it.
	 * @throws EKIND, EBUSY (files are open for writing), ENOTFOUND (no checkpoint)
	 */
	squash(id: LayerId, options?: OperationOptions): Promise<LayerInfo>;
	/**
	 * Removes it, and with it the checkpoints of it that have no name and that nobody stands on.
	 * @throws EREFERENCED (children), EBUSY (mounted), ENOTFOUND
	 */
	remove(id: LayerId, options?: RemoveOptions): Promise<void>;
	/** Removes several in one transaction, which may be one another's children. @throws as remove */
	removeAll(ids: readonly LayerId[], options?: RemoveOptions): Promise<void>;
	/**
	 * Replaces the labels; a function makes the new ones from those before, with nobody changing them in between.
	 * @throws ENOTFOUND, and what the function throws
	 */
	setLabels(id: LayerId, labels: Labels | ((before: Labels) => Labels)): Promise<LayerInfo>;
	/** Records the diffID that a layer's tar turned out to have. */
	setDiffId(id: LayerId, diffId: DiffId): Promise<LayerInfo>;
	/** Counted; the second mount returns the same path. Counts survive the process. */
	mount(id: LayerId, options?: { mountLabel?: string; signal?: AbortSignal }): Promise<Mount>;
	/** Gives one hold of the layer's mount back, whichever process took it. Harmless where nothing is mounted. */
	unmount(id: LayerId, options?: { force?: boolean }): Promise<void>;
	describeMounts(id: LayerId): Promise<readonly MountDescription[]>;
	/** Where the parts of a layer are. */
	paths(id: LayerId): LayerPaths;
	/** Whether a writable layer still shows exactly what its parent does. */
	isUntouched(id: LayerId): Promise<boolean>;
	changes(id: LayerId, options?: DiffOptions): Promise<readonly Change[]>;
	diff(id: LayerId, options?: DiffOptions): DiffStream;
	/**
	 * Looks whether what is on disk is what was recorded, and puts it right where that is asked for. Also where the store is open
	 * for reading only, but without a repair.
	 * @throws {LamellaError} `ENOTFOUND`, `EABORTED`
	 */
	check(options?: CheckOptions): Promise<CheckReport>;
	/**
	 * The layer's tar where the store keeps it as a file, just as `diff` without options would give it.
	 * @throws {LamellaError} `ENOTFOUND`; `ECORRUPT` where that file was changed
	 */
	keptTar(id: LayerId): KeptTar | undefined;
	diffSize(id: LayerId, options?: DiffOptions): Promise<number>;
	usage(id: LayerId, options?: OperationOptions): Promise<Usage>;
	/** Makes the layer's `root/`; no-op where it has one. */
	flatten(id: LayerId, options?: OperationOptions): Promise<LayerInfo>;
	readonly documents: Documents;
	records<T>(namespace: string): Records<T>;
	/** Runs the synchronous `work` in one transaction: it may look at layers, and change records of any namespace. */
	transaction<R>(work: (transaction: StoreTransaction) => R): Promise<R>;
	/** Makes an empty directory for files in the making (spooled archives, blobs). Those of a killed process are swept. */
	scratch(): Promise<ScratchDirectory>;
	status(): StoreStatus;
	/** What the opening found that people should know, in words: data set aside, lost or missing. */
	readonly notices: readonly string[];
	/** Sweeps what processes that are gone have left, as opening the store does. */
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
