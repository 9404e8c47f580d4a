/** Commit: a change of kind. The content is made durable, the record changes, and what only a writable layer needs goes away. */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import type { CommitOptions, LayerId } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { mustBeFree } from "../database/layers.ts";
import { storeFailure } from "../failure.ts";
import { crashPoint } from "../processes/crash-point.ts";
import { flattenLater, foldOf } from "./flattening.ts";
import { mustBeUnmounted } from "./mounting.ts";
import { countUsageLater } from "./usage.ts";

export async function commitLayer(
	store: StoreContext,
	key: LayerId,
	name: LayerId,
	options: CommitOptions,
): Promise<LayerRecord> {
	const committed = await store.withLayer(key, async (record) => {
		mustBeActive(record);
		if (name !== key) mustBeFree(store.database, name);
		await mustBeUnmounted(store, record, "commit");
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

function mustBeActive({ id, kind }: LayerRecord): void {
	if (kind === "active") return;
	const hint = kind === "view" ? "a view has nothing of its own" : "it was committed before";
	throw new LamellaError("EKIND", `layer "${id}" is ${kind} and cannot be committed: ${hint}`, { layer: id });
}

async function commitRecord(
	store: StoreContext,
	record: LayerRecord,
	name: LayerId,
	{ labels, flatten = true, signal }: CommitOptions,
): Promise<LayerRecord> {
	const { driver, layout } = store;
	const directory = store.directoryOf(record);
	const nowNs = linux.realtimeNs();
	const { mountLabel: _, usage: __, diffId: ___, checkpoints: ____, ...kept } = record;
	const root = flatten ? await flattenNow(store, record, signal) : { form: record.form };
	const after: LayerRecord = {
		...kept,
		id: name,
		kind: "committed",
		...root,
		labels: labels ?? {},
		createdAtNs: nowNs,
		updatedAtNs: nowNs,
	};
	// layers/ too: a layer that was made without a flush may not be in it yet.
	await store.replaceRecord(after, (sidecar) =>
		driver.seal(store.placeOf(after), [sidecar, directory, layout.layers], { signal }),
	);
	crashPoint("commit:recorded");
	await driver.finishCommit(store.placeOf(after));
	return after;
}

/** Policy `always`: the root is made before the commit is recorded. Returns how the layer is kept then. */
async function flattenNow(
	store: StoreContext,
	record: LayerRecord,
	signal: AbortSignal | undefined,
): Promise<Pick<LayerRecord, "form" | "fold">> {
	const { flattening } = store.driver;
	if (flattening === undefined) return { form: record.form };
	const [place, ...chain] = store.placesFrom(record);
	// A commit that was cut off left it, and the layer may have been written to since.
	for (const stale of flattening.stale(place)) store.discard(stale);
	if (store.flattenPolicy !== "always") return { form: record.form };
	const staged = store.stagedPath();
	try {
		const made = await flattening.make(place, chain, staged, { signal, sync: false });
		flattening.place(place.directory, staged, made.form);
		crashPoint("commit:flattened");
		return { form: made.form, fold: foldOf(made) };
	} finally {
		store.discard(staged);
	}
}
