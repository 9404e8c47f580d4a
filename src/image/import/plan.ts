/** What an archive or a registry holds, before anything of it is in the store: documents read and checked, layers located. */
import type { LamellaError } from "../../errors/index.ts";
import type { DiffId, Digest, LayerSource } from "../../layer/index.ts";
import type { FetchedSource } from "../../store/index.ts";
import type { ImageId, ImageName, RepoDigest } from "../contract.ts";

export interface PlannedLayer {
	readonly diffId: DiffId;
	/** Of the layer as it lies in the content; checked while it is applied. */
	readonly blobDigest?: Digest | undefined;
	readonly source: Extract<LayerSource, { from: "range" }> | FetchedSource;
	/** Its name within the content, for errors. */
	readonly member: string;
	/** After a failure that the content may have caused: whether it is worth reading the layer again. */
	readonly again?: ((error: LamellaError) => boolean) | undefined;
}

export interface PlannedImage {
	readonly id: ImageId;
	readonly names: readonly ImageName[];
	/** Read when they are wanted: an archive may hold hundreds, of 4 MiB each. */
	readonly readConfig: () => Buffer;
	readonly readManifest?: (() => Buffer) | undefined;
	readonly manifestDigest?: Digest | undefined;
	readonly repoDigests?: readonly RepoDigest[] | undefined;
	readonly os: string;
	readonly architecture: string;
	readonly createdAtMs?: number | undefined;
	/** Bottom first. */
	readonly layers: readonly PlannedLayer[];
}
