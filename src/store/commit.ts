/**
 * Commit: a change of kind. The data is flushed, the record changes, and what only a writable layer needs goes away.
 */

import { renameSync } from "node:fs";
import path from "node:path";
import { LamellaError } from "../errors/index.ts";
import { mustBeFree, replaceLayer } from "./catalog.ts";
import type { CommitOptions, LayerId } from "./contract.ts";
import { crashPoint } from "./crash-point.ts";
import { storeFailure } from "./failure.ts";
import { discardStaleRoot, flattenLater, makeRoot } from "./flattening.ts";
import { mustBeUnmounted } from "./mounting.ts";
import type { PendingWork } from "./pending.ts";
import type { LayerRecord } from "./schema.ts";
import { publishSidecar, stageSidecar } from "./sidecar.ts";
import type { StoreContext } from "./store-context.ts";
import { countUsageLater } from "./usage.ts";

export async function commitLayer(
	store: StoreContext,
	key: LayerId,
	name: LayerId,
	options: CommitOptions,
): Promise<LayerRecord> {
	const committed = await store.withLayer(key, async (record) => {
		if (record.kind !== "active") {
			const hint = record.kind === "view" ? "a view has nothing of its own" : "it was committed before";
			throw new LamellaError("EKIND", `layer "${key}" is ${record.kind} and cannot be committed: ${hint}`, {
				layer: key,
			});
		}
		if (name !== key) mustBeFree(store.meta, name);
		mustBeUnmounted(store, record, "commit");
		try {
			return await commitRecord(store, record, name, options);
		} catch (error) {
			throw storeFailure(error, `commit layer "${key}"`, key);
		}
	});
	countUsageLater(store, committed);
	if (options.flatten !== false) flattenLater(store, committed);
	return committed;
}

async function commitRecord(
	store: StoreContext,
	record: LayerRecord,
	name: LayerId,
	{ labels, flatten = true, signal }: CommitOptions,
): Promise<LayerRecord> {
	const directory = store.directoryOf(record);
	const place = store.placeOf(record);
	const nowMs = Date.now();
	discardStaleRoot(store, record);
	let flattened = false;
	if (flatten && store.flattenPolicy === "always" && store.driver.flattens) {
		const staged = path.join(store.owner.directory, store.owner.nextName());
		try {
			const chain = store.placesBelow(record);
			await makeRoot(store, { layer: place, chain, target: staged, sync: false }, { signal });
			renameSync(staged, path.join(directory, "root"));
		} finally {
			store.discard(staged);
		}
		flattened = true;
		crashPoint("commit:flattened");
	}
	const after: LayerRecord = {
		...record,
		id: name,
		kind: "committed",
		labels: labels ?? {},
		createdAtMs: nowMs,
		updatedAtMs: nowMs,
		usage: undefined,
		diffId: undefined,
		flattened,
		mountLabel: undefined,
	};
	await stageSidecar(directory, after, { flush: false });
	await store.jobs.run("sync", { path: directory }, { signal });
	crashPoint("commit:synced");
	const pending: PendingWork = `sidecar/${record.n}`;
	const token = await store.transaction(({ meta, note }) => {
		replaceLayer(meta, record, after);
		return note(pending);
	});
	crashPoint("commit:recorded");
	await publishSidecar(directory);
	store.driver.finishCommit(store.placeOf(after));
	store.pending.done(pending, token);
	crashPoint("commit:finished");
	return after;
}
