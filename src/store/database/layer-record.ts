/** The shape of a layer's record: a row of the database, and the sidecar beside the layer's data. */
import type { LayerForm, LayerKind } from "../../driver/index.ts";
import type { IdMaps } from "../../idmap/index.ts";
import type { DiffId, Usage } from "../../layer/index.ts";
import type { Labels, LayerId } from "../contract.ts";
import { parseLayerId } from "../layer-id.ts";

export interface LayerRecord {
	readonly id: LayerId;
	/** Name of the directory in layers/. Never used again for another layer. */
	readonly n: string;
	readonly parent?: LayerId | undefined;
	readonly kind: LayerKind;
	readonly form: LayerForm;
	readonly labels: Labels;
	readonly createdAtNs: bigint;
	readonly updatedAtNs: bigint;
	readonly diffId?: DiffId | undefined;
	readonly usage?: Usage | undefined;
	/** Number of layers below. */
	readonly depth: number;
	/** Name of its mount point and of its holds' file, where that is not `n`: they stay while a checkpoint changes `n`. */
	readonly mountName?: string | undefined;
	readonly mountLabel?: string | undefined;
	readonly idMaps?: IdMaps | undefined;
	/** Of a layer whose form has a fold: what the fold stands on, and how many files and directories it has. */
	readonly fold?: { readonly over: string; readonly entries: number } | undefined;
	/** Of a checkpoint: whose it is. */
	readonly checkpoint?: Checkpoint | undefined;
	/** Of a writable layer: how many checkpoints of it were made, which the next one's name goes by. */
	readonly checkpoints?: number | undefined;
}

export interface Checkpoint {
	/** The mount name of the layer that it is of: it is never another's. */
	readonly of: string;
	/** It was given no name, and goes with its layer. */
	readonly auto: boolean;
}

export function formatLayerRecord(record: LayerRecord, indent?: string): string {
	const replace = (_: string, value: unknown): unknown =>
		typeof value === "bigint" ? value.toString() : value;
	return JSON.stringify(record, replace, indent);
}

/** Checks every field: a record may have been edited, or cut off. Throws where one is wrong. */
export function parseLayerRecord(text: string): LayerRecord {
	const raw = JSON.parse(text) as Record<string, unknown>;
	const { n, kind, form, labels, usage, diffId, idMaps, mountLabel, mountName } = raw;
	if (!isName(n)) throw wrong("n");
	if (mountName !== undefined && !isName(mountName)) throw wrong("mountName");
	if (kind !== "active" && kind !== "view" && kind !== "committed") throw wrong("kind");
	if (typeof form !== "string") throw wrong("form");
	if (typeof labels !== "object" || labels === null) throw wrong("labels");
	for (const value of Object.values(labels)) if (typeof value !== "string") throw wrong("labels");
	return {
		id: parseLayerId(String(raw.id)),
		n,
		parent: raw.parent === undefined ? undefined : parseLayerId(String(raw.parent)),
		kind,
		form: form as LayerForm,
		labels: labels as Labels,
		createdAtNs: nanoseconds(raw.createdAtNs),
		updatedAtNs: nanoseconds(raw.updatedAtNs),
		diffId: typeof diffId === "string" ? (diffId as DiffId) : undefined,
		usage: typeof usage === "object" && usage !== null ? (usage as LayerRecord["usage"]) : undefined,
		depth: count(raw.depth, "depth"),
		mountName,
		fold: foldOf(raw.fold),
		checkpoint: checkpointOf(raw.checkpoint),
		checkpoints: raw.checkpoints === undefined ? undefined : count(raw.checkpoints, "checkpoints"),
		mountLabel: typeof mountLabel === "string" ? mountLabel : undefined,
		idMaps: typeof idMaps === "object" && idMaps !== null ? (idMaps as LayerRecord["idMaps"]) : undefined,
	};
}

/** It becomes a path, so only names that an owner gives are taken. */
function isName(value: unknown): value is string {
	return typeof value === "string" && /^[0-9a-z]{7,40}$/.test(value);
}

/** Name of a layer's mount point and of its holds' file. */
export function mountNameOf({ n, mountName = n }: Pick<LayerRecord, "n" | "mountName">): string {
	return mountName;
}

function nanoseconds(value: unknown): bigint {
	if (typeof value !== "string" || !/^-?\d{1,20}$/.test(value)) throw wrong("createdAtNs or updatedAtNs");
	return BigInt(value);
}

function foldOf(value: unknown): LayerRecord["fold"] {
	if (value === undefined) return undefined;
	if (typeof value !== "object" || value === null) throw wrong("fold");
	const { over, entries } = value as Record<string, unknown>;
	if (!isName(over)) throw wrong("fold");
	return { over, entries: count(entries, "fold") };
}

function checkpointOf(value: unknown): Checkpoint | undefined {
	if (value === undefined) return undefined;
	if (typeof value !== "object" || value === null) throw wrong("checkpoint");
	const { of, auto } = value as Record<string, unknown>;
	if (!isName(of) || typeof auto !== "boolean") throw wrong("checkpoint");
	return { of, auto };
}

function count(value: unknown, field: string): number {
	if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw wrong(field);
	return value;
}

function wrong(field: string): Error {
	return new Error(`its field "${field}" is wrong`);
}
