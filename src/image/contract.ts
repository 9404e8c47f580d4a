/**
 * Images over the layer store: what an image record is, and what can be done with images.
 *
 * An image is a config, a manifest and a chain of layers that the store holds under their chainIDs. Its id is the
 * digest of its config. It has any number of names; a name belongs to one image at a time.
 */
import type { Readable, Writable } from "node:stream";
import type { ChainId, Compression, DiffId, Digest, Warning } from "../layer/index.ts";
import type { Credentials, HostOptions } from "../registry/index.ts";
import type { Found, LayerId, RestorableRecord } from "../store/index.ts";

/** The id of an image: digest of its config. */
export type ImageId = Digest & { readonly __imageId: true };

/** A normalised name: `debian:demo`. What has no tag gets `latest`; no registry host is ever added. */
export type ImageName = string & { readonly __imageName: true };

export interface ImageLayer {
	/** Digest of the uncompressed tar, as the image's config has it. */
	readonly diffId: DiffId;
	readonly chainId: ChainId;
	/** The layer's id in the layer store: the chainID for what an import made. */
	readonly layer: LayerId;
	/** Length of the uncompressed tar. */
	readonly tarSizeBytes: number;
}

/** Under what an image was found in a registry. */
export interface RepoDigest {
	/** As people write it: `debian`, `ghcr.io/group/app`. */
	readonly repository: string;
	/** Of the manifest, or of the index that the manifest was chosen from. */
	readonly digest: Digest;
	/** The platform that it was chosen for, from an index. */
	readonly platform?: string | undefined;
}

export interface ImageInfo {
	readonly id: ImageId;
	/** In order; empty where the last name went to another image. */
	readonly names: readonly ImageName[];
	/** From the config's `created`; milliseconds since 1970. */
	readonly createdAtMs?: number | undefined;
	readonly importedAtMs: number;
	/** Sum of the layers' uncompressed tars; what is shared with other images is counted here too. */
	readonly sizeBytes: number;
	readonly os: string;
	readonly architecture: string;
	/** Of the OCI or docker manifest that it came with; docker-save archives have none. */
	readonly manifestDigest?: Digest | undefined;
	/** Where it was pulled from or pushed to, oldest first. */
	readonly repoDigests?: readonly RepoDigest[] | undefined;
	/** Manifests that it was pushed as, where that is not the one that it came with; the last one last. */
	readonly pushedManifests?: readonly Digest[] | undefined;
	/** Bottom first. */
	readonly layers: readonly ImageLayer[];
}

/** An image that was imported or committed just now. */
export interface MadeImage extends ImageInfo {
	/** What its layers were to have and do not. */
	readonly warnings: readonly Warning[];
}

/** An image that was pulled just now, or that was here already. */
export interface PulledImage extends MadeImage {
	/** What the reference points to: of the image's manifest, or of the index that it was chosen from. */
	readonly digest: Digest;
	/** The store did not have it. */
	readonly isNew: boolean;
}

/** An image with its documents. */
export interface ImageDetails extends ImageInfo {
	/** The config byte for byte: `id` is its digest. */
	readonly configBytes: Buffer;
	/** The config as parsed JSON. */
	readonly config: unknown;
	/** The manifest byte for byte. */
	readonly manifestBytes?: Buffer | undefined;
}

/** Where an operation on layers is. One event a change of phase, and many while bytes flow. */
export interface ProgressEvent {
	readonly operation: "import" | "pull" | "push" | "export" | "commit" | "apply";
	/**
	 * - `reading`: an archive is spooled or looked through (no layer yet);
	 * - `waiting`, `applying`, `done`, or `exists` (nothing to do) for a layer that is imported, pulled or committed;
	 * - `downloading` before `applying` for one that is pulled: it is applied as it comes, too;
	 * - `writing` and `done` for a layer that is exported;
	 * - `waiting`, `writing` (compressed), `uploading`, `done`, or `exists` (the registry has it) for one that is pushed.
	 */
	readonly phase:
		| "reading"
		| "waiting"
		| "downloading"
		| "applying"
		| "writing"
		| "uploading"
		| "done"
		| "exists";
	/** Name or id of the image, once known. */
	readonly image?: string | undefined;
	/** DiffID of the layer, or the layer's id where the diffID is not known yet. */
	readonly layer?: string | undefined;
	/** Which layer of how many, from 0, bottom first. */
	readonly index: number;
	readonly count: number;
	readonly doneBytes: number;
	/** Not known where a stream comes in. */
	readonly totalBytes?: number | undefined;
}

export interface ImageOperationOptions {
	readonly signal?: AbortSignal | undefined;
	readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

/** For what makes layer tars. */
export interface WriteOptions extends ImageOperationOptions {
	/**
	 * Leave out, with a warning, what a layer cannot say (that a file named `.wh.…` was changed or deleted); the
	 * parent's file then shows in its place. Without it, that is an error.
	 */
	readonly skipUnsupported?: boolean | undefined;
}

export interface ImportOptions extends ImageOperationOptions {
	/** Name for the image, in place of those in the archive. Needs an archive with one image (or `select`). */
	readonly name?: string | undefined;
	/** Import only the image that the archive has under this name, image id or manifest digest (of any platform). */
	readonly select?: string | undefined;
}

/** How registries are reached, and with which credentials. */
export interface RegistryAccess {
	/** What to show the registry in place of what docker's and podman's files have for it. */
	readonly auth?: Credentials | undefined;
	/** How registries are reached, where it is to be other than the machine's settings say. */
	readonly hosts?: HostOptions | undefined;
}

/** When a registry is asked for an image: always, where it is not here, never. */
export type PullPolicy = "always" | "missing" | "never";

export interface PullOptions extends ImageOperationOptions, RegistryAccess {
	/** `missing`: what is here under the reference is taken as it is, and nobody is asked. Default `always`. */
	readonly policy?: Exclude<PullPolicy, "never"> | undefined;
	/** `linux/arm64`, `linux/arm/v7`. Default: this machine's. */
	readonly platform?: string | undefined;
}

export interface ImageExportOptions extends WriteOptions {
	/** `oci`: an OCI archive (default). `oci-dir`: an OCI layout directory. `docker`: for `docker load`. */
	readonly format?: "oci" | "oci-dir" | "docker" | undefined;
	/** Of the layers. Default `gzip` for `oci` and `oci-dir`, `none` for `docker`. */
	readonly compression?: Compression | undefined;
	/** The name that is written into the export; by default the one it was asked for by. */
	readonly name?: string | undefined;
}

export interface ExportResult {
	readonly image: ImageId;
	/** Differs from `image` where a layer's tar could not be made as it was: the config then has new diffIDs. */
	readonly exportedAs: ImageId;
	readonly manifestDigest: Digest;
	/** Bytes written. */
	readonly sizeBytes: number;
	/** What the layers' tars do not hold. */
	readonly warnings: readonly Warning[];
}

export interface PushOptions extends WriteOptions, RegistryAccess {
	/** Where to: `ghcr.io/ann/app:1`. Default: what the image is called. */
	readonly to?: string | undefined;
	/** All images of a repository that are here, each under its tag; the reference is the repository then. */
	readonly allTags?: boolean | undefined;
	/** Of layers that have to be made. Default: what they came with; gzip for what was made here. */
	readonly compression?: Compression | undefined;
}

export interface PushResult {
	readonly image: ImageId;
	/** Differs from `image` where a layer's tar could not be made as it was: the config then has new diffIDs. */
	readonly pushedAs: ImageId;
	/** Where to, as people write it. */
	readonly reference: string;
	readonly manifestDigest: Digest;
	/** The digest of the manifest that the image came with, where it was not pushed as that: blobs differ. */
	readonly replacedDigest?: Digest | undefined;
	/** Bottom first. */
	readonly layers: readonly {
		readonly diffId: DiffId;
		/** Of the blob. */
		readonly digest: Digest;
		readonly sizeBytes: number;
		/** The registry had it, had it in another repository, or was sent it. */
		readonly way: "existed" | "mounted" | "uploaded";
	}[];
	/** Bytes of layers that were sent. */
	readonly sizeBytes: number;
	/** What the layers' tars do not hold. */
	readonly warnings: readonly Warning[];
}

export interface CommitOptions extends WriteOptions {
	readonly author?: string | undefined;
	/** Goes into the history as its comment. */
	readonly message?: string | undefined;
	/** Dockerfile instructions: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR. */
	readonly changes?: readonly string[] | undefined;
	/** Milliseconds since 1970; default now. For reproducible images. */
	readonly createdAtMs?: number | undefined;
}

export interface RemovedImage {
	/** Names that went. */
	readonly names: readonly ImageName[];
	/** Set when the image itself went. */
	readonly image?: ImageId | undefined;
	/** Layers that nothing used any more, and that went with it; top first. */
	readonly layers: readonly LayerId[];
}

/** What an image is read from: the path of an archive or layout directory, or a stream of an archive. */
export type ImageInput = string | Readable;
/** What an image is written to: a path, or a stream (archives only). */
export type ImageOutput = string | Writable;

export interface Images {
	/**
	 * Reads a docker-save archive, an OCI archive or an OCI layout directory, each plain or compressed.
	 * Layers that the store has are not read again. On failure the layers it made are removed.
	 * @throws {LamellaError} `EARCHIVE`, `EDIGEST`, `ECOMPRESSION`, `ETAR`, `EUNSAFE`, `ENOTFOUND`, `ENOSPACE`, `EABORTED`
	 */
	import(input: ImageInput, options?: ImportOptions): Promise<readonly MadeImage[]>;
	/**
	 * Brings an image from a registry. A tag that has not moved costs one request, a digest that is here none; layers that are here
	 * are not fetched. On failure nothing of it is left.
	 * @throws {LamellaError} `EINVALID` (the reference), `ENOTFOUND`, `EUNAUTHORIZED`, `EDENIED`, `ERATELIMIT`, `ENETWORK`, `EREGISTRY`,
	 * `EPLATFORM`, `ENOTSUPPORTED` (schema 1), and as `import`
	 */
	pull(reference: string, options?: PullOptions): Promise<PulledImage>;
	/** For a check of the store: what is wrong with the images' own records. */
	check(): Iterable<Found>;
	/** For a repair: whether the file of a record is that of an image whose layers are all there. */
	restores(record: RestorableRecord): boolean;
	/** In order of their first name. Reads no document. @throws ECORRUPT (a record) */
	list(): readonly ImageInfo[];
	/**
	 * By name, id (`sha256:…`, or 64 hex digits), manifest digest or unambiguous beginning of an id; undefined where there
	 * is none. Reads no document. @throws EINVALID (ambiguous), ECORRUPT
	 */
	find(reference: string): ImageInfo | undefined;
	/** As `find`, with the documents. @throws ENOTFOUND, EINVALID, ECORRUPT */
	get(reference: string): ImageDetails;
	/** Gives an image one more name; takes it from the image that had it. */
	tag(reference: string, name: string): Promise<ImageInfo>;
	/**
	 * By name: takes the name, and with the last name the image. By id: takes the image with all its names.
	 * Layers that no image and no child uses go too. By id also where the image's record is damaged; its layers then stay.
	 * @throws ENOTFOUND, EREFERENCED (a layer is above; the message names it), EBUSY
	 */
	remove(reference: string): Promise<RemovedImage>;
	/**
	 * Makes a new image of an active layer (which stays as it is, and may be mounted) over its parent's chain.
	 * @throws ENOTFOUND, EKIND, EINVALID
	 */
	commit(layer: LayerId, name: string | undefined, options?: CommitOptions): Promise<MadeImage>;
	/**
	 * Sends an image to a registry: layers that are not there, its config, its manifest. One result a tag.
	 * @throws {RegistryError}; ENOTFOUND, EINVALID (where to), ENOSPACE, EABORTED
	 */
	push(reference: string, options?: PushOptions): Promise<readonly PushResult[]>;
	/** Writes an image; a file or directory appears whole or not at all. @throws ENOTFOUND, EEXISTS (a directory), ENOSPACE, EABORTED */
	export(reference: string, output: ImageOutput, options?: ImageExportOptions): Promise<ExportResult>;
}
