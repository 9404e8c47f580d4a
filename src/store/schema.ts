/** The shape of a layer's record, in the database and in its sidecar. */
import type { LayerKind } from "../driver/index.ts";
import type { IdMaps } from "../idmap/index.ts";
import type { DiffId, Usage } from "../layer/index.ts";
import type { Labels, LayerId } from "./contract.ts";

/** Version of everything on disk. A store of a later one is refused. */
export const FORMAT = 1;

export interface LayerRecord {
	readonly id: LayerId;
	/** Name of the directory in layers/. Never used again for another layer. */
	readonly n: string;
	readonly parent?: LayerId | undefined;
	readonly kind: LayerKind;
	readonly labels: Labels;
	readonly createdAtMs: number;
	readonly updatedAtMs: number;
	readonly diffId?: DiffId | undefined;
	readonly usage?: Usage | undefined;
	readonly flattened: boolean;
	/** Number of layers below. */
	readonly depth: number;
	readonly mountLabel?: string | undefined;
	readonly idMaps?: IdMaps | undefined;
}
