/** The layers' records: lookups, chains, and the changes that keep the indexes right. */
import path from "node:path";
import type { LayerPlace } from "../driver/index.ts";
import { LamellaError } from "../errors/index.ts";
import type { LayerId } from "./contract.ts";
import type { Layout } from "./layout.ts";
import type { MetaReader, MetaTransaction } from "./meta-store.ts";
import type { LayerRecord } from "./schema.ts";

/** @throws {LamellaError} `ENOTFOUND` */
export function layerRecord(reader: MetaReader, id: LayerId): LayerRecord {
	const record = reader.get<LayerRecord>("layers", id);
	if (record === undefined) throw new LamellaError("ENOTFOUND", `there is no layer "${id}"`, { layer: id });
	return record;
}

/**
 * Ancestors, nearest first.
 * @throws {LamellaError} `ECORRUPT` where one is missing
 */
export function chainOf(reader: MetaReader, record: LayerRecord): LayerRecord[] {
	const chain: LayerRecord[] = [];
	for (let child = record; child.parent !== undefined; ) {
		const parent = reader.get<LayerRecord>("layers", child.parent);
		if (parent === undefined || parent.depth >= child.depth) {
			const message = `layer "${child.id}" is over "${child.parent}", which the store does not have`;
			throw new LamellaError("ECORRUPT", `${message}; remove it, and import its image again`, {
				layer: child.id,
			});
		}
		chain.push(parent);
		child = parent;
	}
	return chain;
}

/**
 * A parent that a new layer may stand on.
 * @throws {LamellaError} `ENOTFOUND`, `EKIND`
 */
export function committedParent(reader: MetaReader, id: LayerId): LayerRecord {
	const parent = reader.get<LayerRecord>("layers", id);
	if (parent === undefined) {
		throw new LamellaError("ENOTFOUND", `there is no layer "${id}" to stand on`, { layer: id });
	}
	if (parent.kind !== "committed") {
		throw new LamellaError(
			"EKIND",
			`layer "${id}" is ${parent.kind}; only a committed layer can be a parent`,
			{
				layer: id,
			},
		);
	}
	return parent;
}

/** @throws {LamellaError} `EEXISTS` */
export function mustBeFree(reader: MetaReader, id: LayerId): void {
	if (reader.get("layers", id) === undefined) return;
	throw new LamellaError("EEXISTS", `there is a layer "${id}" already`, { layer: id });
}

/**
 * Records a new layer over a parent that has to be there, committed, and still in directory `parentN`: another
 * layer may have taken its id since the new one was made from it.
 */
export function insertLayer(transaction: MetaTransaction, record: LayerRecord, parentN?: string): void {
	mustBeFree(transaction, record.id);
	if (record.parent !== undefined) {
		const parent = committedParent(transaction, record.parent);
		if (parentN !== undefined && parent.n !== parentN) {
			throw new LamellaError("ENOTFOUND", `layer "${record.parent}" was removed meanwhile`, {
				layer: record.parent,
			});
		}
		transaction.put("children", `${parent.n}/${record.n}`, record.id);
	}
	transaction.put("layers", record.id, record);
	transaction.put("places", record.n, record.id);
}

/** Puts a changed record in the place of `before`; the id may change with it (commit). */
export function replaceLayer(transaction: MetaTransaction, before: LayerRecord, after: LayerRecord): void {
	if (after.id !== before.id) {
		mustBeFree(transaction, after.id);
		transaction.remove("layers", before.id);
		transaction.put("places", after.n, after.id);
		if (after.parent !== undefined) {
			const parent = layerRecord(transaction, after.parent);
			transaction.put("children", `${parent.n}/${after.n}`, after.id);
		}
	}
	transaction.put("layers", after.id, after);
}

/** @throws {LamellaError} `EREFERENCED` where layers stand on it */
export function deleteLayer(transaction: MetaTransaction, record: LayerRecord): void {
	mustBeChildless(transaction, record);
	transaction.remove("layers", record.id);
	transaction.remove("places", record.n);
	const parent =
		record.parent === undefined ? undefined : transaction.get<LayerRecord>("layers", record.parent);
	if (parent !== undefined) transaction.remove("children", `${parent.n}/${record.n}`);
}

export function childrenOf(reader: MetaReader, record: LayerRecord): LayerId[] {
	return [...reader.entries<LayerId>("children", `${record.n}/`)].map(([, id]) => id);
}

/** @throws {LamellaError} `EREFERENCED` */
export function mustBeChildless(reader: MetaReader, record: LayerRecord): void {
	const children = childrenOf(reader, record);
	if (children.length === 0) return;
	const named = children.slice(0, 5).map((id) => `"${id}"`);
	if (children.length > named.length) named.push(`${children.length - named.length} more`);
	throw new LamellaError(
		"EREFERENCED",
		`layer "${record.id}" has layers on top of it (${named.join(", ")}); remove those first`,
		{ layer: record.id },
	);
}

/** The layer's directory as drivers want it. */
export function placeOf(layout: Layout, record: LayerRecord): LayerPlace {
	return { directory: path.join(layout.layers, record.n), flattened: record.flattened };
}

/** How many layers' diffs a mount over this chain has to merge: down to the first root, which counts too. */
export function unflattenedDepth(chain: readonly { readonly flattened: boolean }[]): number {
	const first = chain.findIndex(({ flattened }) => flattened);
	return first < 0 ? chain.length : first + 1;
}

/** Records a layer as its sidecar says, also where its parent is not to be found. For a rebuild. */
export function insertLayerUnchecked(transaction: MetaTransaction, record: LayerRecord): void {
	const parent =
		record.parent === undefined ? undefined : transaction.get<LayerRecord>("layers", record.parent);
	if (parent !== undefined) transaction.put("children", `${parent.n}/${record.n}`, record.id);
	transaction.put("layers", record.id, record);
	transaction.put("places", record.n, record.id);
}
