/** Directories that no record knows: layers that the database lost, and what processes that are gone have left. */
import { existsSync, readdirSync, renameSync } from "node:fs";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import type { StoreContext } from "../context.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { findLayer, insertLayer, layerAt } from "../database/layers.ts";
import { flush } from "../disk/flush.ts";
import { readSidecar } from "../disk/sidecar.ts";
import { ownerLives } from "../processes/owner.ts";
import { isAtWork, isRemoved, recover, setLayerAside } from "../recovery.ts";
import type { Found } from "./finding.ts";

export function* checkDirectories(store: StoreContext): Generator<Found> {
	yield* checkUnknown(store);
	yield* checkLeftovers(store);
}

/** A directory in layers/ or lost+found/ that no record knows, and what its sidecar says. */
interface Unknown {
	readonly directory: string;
	readonly record: LayerRecord | undefined;
}

function* checkUnknown(store: StoreContext): Generator<Found> {
	const { layers, lost } = store.layout;
	const unknown = [...unknownIn(store, layers), ...unknownIn(store, lost)];
	// Parents first: a child comes back over its parent.
	unknown.sort((a, b) => (a.record?.depth ?? 0) - (b.record?.depth ?? 0));
	const coming = new Set<string>();
	for (const { directory, record } of unknown) {
		const where = path.relative(store.layout.root, directory);
		const whole = record !== undefined && isWhole(store, directory, record, coming) ? record : undefined;
		if (whole !== undefined) {
			coming.add(whole.id);
			yield {
				kind: directory.startsWith(`${lost}/`) ? "layer-set-aside" : "directory-unknown",
				layer: whole.id,
				path: directory,
				message: `${where} is the committed layer "${whole.id}", which the database does not have`,
				repair: () => bringBack(store, directory, whole),
			};
		} else if (directory.startsWith(`${layers}/`)) {
			yield {
				kind: "directory-unknown",
				path: directory,
				message: `the directory ${where} belongs to no layer`,
				repair: async () => setLayerAside(store.layout, path.basename(directory)),
			};
		}
	}
}

function* unknownIn(store: StoreContext, parent: string): Generator<Unknown> {
	for (const name of existsSync(parent) ? readdirSync(parent) : []) {
		const directory = path.join(parent, name);
		const record = readSidecar(directory);
		if (parent === store.layout.layers) {
			// Looked up again: a living process may have recorded it since it was listed.
			if (isAtWork(store, name) || isRemoved(store, name) || layerAt(store.database, name) !== undefined)
				continue;
			yield { directory, record: record?.n === name ? record : undefined };
		} else if (record !== undefined) yield { directory, record };
	}
}

/** Whether an unknown directory is a committed layer that nothing is in the way of. */
function isWhole(
	store: StoreContext,
	directory: string,
	record: LayerRecord,
	coming: ReadonlySet<string>,
): boolean {
	const { id, n, kind, parent } = record;
	if (kind !== "committed" || coming.has(id)) return false;
	if (findLayer(store.database, id) !== undefined || layerAt(store.database, n) !== undefined) return false;
	const below = parent === undefined ? undefined : findLayer(store.database, parent);
	if (parent !== undefined && below?.kind !== "committed" && !coming.has(parent)) return false;
	return store.driver.look(store.placeAt(directory, record)).length === 0;
}

async function bringBack(store: StoreContext, from: string, record: LayerRecord): Promise<void> {
	const to = store.directoryOf(record);
	if (from !== to) {
		if (existsSync(to)) {
			throw new LamellaError("EEXISTS", `${to} is in the way of ${from}`, { path: to });
		}
		renameSync(from, to);
		await flush(store.layout.layers);
	}
	await store.transaction(() => {
		const parent = record.parent === undefined ? undefined : findLayer(store.database, record.parent);
		insertLayer(store.database, record, parent?.n);
	});
}

function* checkLeftovers(store: StoreContext): Generator<Found> {
	const { staging, trash } = store.layout;
	const leftIn = function* (
		parent: string,
		what: string,
		isLeft: (name: string) => boolean,
	): Generator<Found> {
		for (const name of existsSync(parent) ? readdirSync(parent) : []) {
			const directory = path.join(parent, name);
			if (!isLeft(name) || !existsSync(directory)) continue;
			const message = `${directory} was being ${what} by a process that is gone`;
			yield { kind: "leftover", path: directory, message, repair: () => recover(store) };
		}
	};
	yield* leftIn(staging, "made", (owner) => !ownerLives(store.layout, owner));
	yield* leftIn(trash, "deleted", (name) => !isAtWork(store, name));
}
