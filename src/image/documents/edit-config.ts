/**
 * Makes the config of an image from that of the image below it. Members that nobody here knows are kept, in order.
 * Source: OCI image spec config.md.
 */
import type { DiffId } from "../../layer/index.ts";
import { hostArchitecture } from "../import/platform.ts";
import { applyInstruction, type RuntimeConfig } from "./instructions.ts";
import { jsonBytes, parseJson } from "./json.ts";

export interface NewLayer {
	readonly diffId: DiffId;
	readonly createdAtMs: number;
	readonly author?: string | undefined;
	readonly comment?: string | undefined;
	/** What made it, for people. */
	readonly createdBy: string;
}

type Json = Record<string, unknown>;

/** A config with no layers, for what starts from nothing. */
export function emptyConfig(): Buffer {
	return jsonBytes({
		architecture: hostArchitecture(),
		os: "linux",
		config: {},
		rootfs: { type: "layers", diff_ids: [] },
		history: [],
	});
}

/**
 * The config with layers put on top, and Dockerfile instructions applied.
 * @throws {LamellaError} `EINVALID` (an instruction)
 */
export function extendConfig(
	base: Buffer,
	layers: readonly NewLayer[],
	instructions: readonly string[] = [],
): Buffer {
	const config = parseJson(base, "the config of the image below") as Json;
	const rootfs = (config.rootfs ?? {}) as Json;
	const diffIds = (rootfs.diff_ids ?? []) as readonly DiffId[];
	const top = layers.at(-1);
	const runtime = instructions.reduce(applyInstruction, (config.config ?? {}) as RuntimeConfig);
	return jsonBytes({
		...config,
		...(top === undefined ? {} : { created: iso(top.createdAtMs) }),
		...(top?.author === undefined ? {} : { author: top.author }),
		config: runtime,
		rootfs: { ...rootfs, type: "layers", diff_ids: [...diffIds, ...layers.map(({ diffId }) => diffId)] },
		history: [...paddedHistory(config, diffIds.length), ...layers.map(historyEntry)],
	});
}

/** The config with other diffIDs: for layers whose tars came out with other bytes than they came in. */
export function replaceDiffIds(base: Buffer, diffIds: readonly DiffId[]): Buffer {
	const config = parseJson(base, "the config") as Json;
	return jsonBytes({
		...config,
		rootfs: { ...(config.rootfs as Json), type: "layers", diff_ids: diffIds },
	});
}

/** Readers match history to layers by counting; a base without a history gets an entry for each of its layers. */
function paddedHistory(config: Json, layers: number): readonly unknown[] {
	const history = (config.history ?? []) as readonly Json[];
	const counted = history.filter((entry) => entry.empty_layer !== true).length;
	return [...history, ...Array.from({ length: Math.max(0, layers - counted) }, () => ({}))];
}

function historyEntry(layer: NewLayer): Json {
	return {
		created: iso(layer.createdAtMs),
		created_by: layer.createdBy,
		...(layer.author === undefined ? {} : { author: layer.author }),
		...(layer.comment === undefined ? {} : { comment: layer.comment }),
	};
}

function iso(ms: number): string {
	return new Date(ms).toISOString();
}
