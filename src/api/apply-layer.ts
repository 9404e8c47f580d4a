/** A layer tar from a file or a stream into the store. */
import type { Readable } from "node:stream";
import { LamellaError } from "../errors/index.ts";
import type { ProgressEvent } from "../image/index.ts";
import type { Labels, LayerId, LayerInfo, LayerStore } from "../store/index.ts";

export interface ApplyFromOptions {
	readonly parent?: LayerId | undefined;
	readonly labels?: Labels | undefined;
	readonly signal?: AbortSignal | undefined;
	readonly onProgress: (event: ProgressEvent) => void;
}

/** As `Store.applyLayer`, with names already looked up. */
export async function applyLayerFrom(
	_store: LayerStore,
	id: LayerId,
	_input: string | Readable,
	_options: ApplyFromOptions,
): Promise<LayerInfo> {
	throw new LamellaError("ENOTSUPPORTED", `layer "${id}" cannot be applied yet`);
}
