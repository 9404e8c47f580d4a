/** What an archive holds, before anything of it is in the store: documents read and checked, layers located. */
import type { DiffId, Digest, LayerSource } from "../../layer/index.ts";
import type { ImageId, ImageName } from "../contract.ts";

export interface PlannedLayer {
	readonly diffId: DiffId;
	/** Of the layer as it lies in the content; checked while it is applied. */
	readonly blobDigest?: Digest | undefined;
	readonly source: Extract<LayerSource, { from: "range" }>;
	/** Its name within the content, for errors. */
	readonly member: string;
}

export interface PlannedImage {
	readonly id: ImageId;
	readonly names: readonly ImageName[];
	/** Read when they are wanted: an archive may hold hundreds, of 4 MiB each. */
	readonly readConfig: () => Buffer;
	readonly readManifest?: (() => Buffer) | undefined;
	readonly manifestDigest?: Digest | undefined;
	readonly os: string;
	readonly architecture: string;
	readonly createdAtMs?: number | undefined;
	/** Bottom first. */
	readonly layers: readonly PlannedLayer[];
}
