/** Layers as containerd's `Info`, and the rules for their labels. */
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { LayerKind } from "../../driver/index.ts";
import { LamellaError } from "../../errors/index.ts";
import type { Labels, LayerId, LayerInfo } from "../../store/index.ts";
import { type Info, InfoSchema, Kind } from "./generated/containerd/services/snapshots/v1/snapshots_pb.js";
import { snapshotKeyOf } from "./keys.ts";

/** Bytes of a label's key and value together (containerd's labels.Validate). */
const LABEL_BYTES_MAX = 4096;

const KINDS: Readonly<Record<LayerKind, Kind>> = {
	view: Kind.VIEW,
	active: Kind.ACTIVE,
	committed: Kind.COMMITTED,
};

/** With the parent and the labels as containerd is shown them. */
export function infoOf(
	layer: LayerInfo,
	{ parent, labels }: { readonly parent: LayerId | undefined; readonly labels: Labels },
): Info {
	return create(InfoSchema, {
		name: snapshotKeyOf(layer.id),
		parent: parent === undefined ? "" : snapshotKeyOf(parent),
		kind: KINDS[layer.kind],
		createdAt: timestampOf(layer.createdAtNs),
		updatedAt: timestampOf(layer.updatedAtNs),
		labels: { ...labels },
	});
}

/**
 * Labels as they are kept: containerd takes an empty value for "no such label".
 * @throws {LamellaError} `EINVALID` where a label is too long
 */
export function keptLabels(labels: Readonly<Record<string, string>>): Labels {
	const kept = Object.entries(labels).filter(([, value]) => value !== "");
	for (const [key, value] of kept) {
		const bytes = Buffer.byteLength(key) + Buffer.byteLength(value);
		if (bytes > LABEL_BYTES_MAX) {
			const shown = key.length > 10 ? `${key.slice(0, 10)}…` : key;
			throw new LamellaError(
				"EINVALID",
				`label "${shown}" has ${bytes} bytes of key and value; ${LABEL_BYTES_MAX} are allowed`,
			);
		}
	}
	return Object.fromEntries(kept);
}

/**
 * Labels after an Update: each path of the mask is `labels` (all are replaced) or `labels.<key>` (that one is set,
 * or removed where it is not sent). Without a mask all that can change is replaced, which is the labels.
 * @throws {LamellaError} `EINVALID` for any other path
 */
export function updatedLabels(
	before: Labels,
	sent: Readonly<Record<string, string>>,
	paths: readonly string[],
): Labels {
	if (paths.length === 0) return keptLabels(sent);
	let labels: Record<string, string> = { ...before };
	for (const path of paths) {
		if (path === "labels") {
			labels = { ...sent };
		} else if (path.startsWith("labels.")) {
			const key = path.slice("labels.".length);
			labels[key] = Object.hasOwn(sent, key) ? (sent[key] ?? "") : "";
		} else {
			throw new LamellaError("EINVALID", `a snapshot's "${path}" cannot be updated, only its labels`);
		}
	}
	return keptLabels(labels);
}

const NS_PER_SECOND = 1_000_000_000n;

function timestampOf(ns: bigint): Timestamp {
	return create(TimestampSchema, { seconds: ns / NS_PER_SECOND, nanos: Number(ns % NS_PER_SECOND) });
}
