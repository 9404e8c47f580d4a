/** The deep part of a check: all that a committed layer holds is read, and compared with what was kept of it. */
import { isLamellaError } from "../../errors/index.ts";
import type { RunOptions } from "../../jobs/index.ts";
import type { Usage } from "../../layer/index.ts";
import type { StoreContext } from "../context.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { layerAt, replaceLayer } from "../database/layers.ts";
import { storeFailure } from "../failure.ts";
import type { Found } from "./finding.ts";
import { partFound } from "./layers.ts";

const SLACK_BYTES = 64 << 10;

export interface CheckedContent {
	/** Whether there was something to compare it with. */
	readonly isVerified: boolean;
	readonly found: readonly Found[];
}

/** Not under the layer's lock, because it takes long. Of a layer that was removed meanwhile nothing is said. */
export async function checkContent(
	store: StoreContext,
	record: LayerRecord,
	options: RunOptions,
): Promise<CheckedContent> {
	const { id, n } = record;
	try {
		const [layer, ...chain] = store.placesFrom(record);
		const { isVerified, problems } = await store.driver.check(layer, chain, {
			...options,
			sealedAtNs: record.updatedAtNs,
		});
		const found = problems.map((problem) => partFound(store, record, problem));
		if (problems.length === 0) found.push(...(await checkUsage(store, record, options.signal)));
		return { isVerified, found: layerAt(store.database, n) === undefined ? [] : found };
	} catch (error) {
		const failure = storeFailure(error, `check layer "${id}"`, id);
		if (layerAt(store.database, n) === undefined) return { isVerified: false, found: [] };
		// Its data, or that of a layer below, cannot be read. Other layers are checked all the same.
		if (!isLamellaError(failure, "ECORRUPT") && !isLamellaError(failure, "ESYSTEM")) throw failure;
		return { isVerified: true, found: [{ kind: "content-damaged", layer: id, message: failure.message }] };
	}
}

async function checkUsage(
	store: StoreContext,
	{ id, n, usage }: LayerRecord,
	signal: AbortSignal | undefined,
): Promise<Found[]> {
	const record = layerAt(store.database, n);
	if (usage === undefined || record === undefined) return [];
	const counted = await store.driver.usage(store.placeOf(record), { signal });
	if (isNear(counted, usage)) return [];
	const recordIt = async (): Promise<void> => {
		await store.transaction(() => {
			const now = layerAt(store.database, n);
			if (now !== undefined) replaceLayer(store.database, { ...now, usage: counted });
		});
	};
	return [
		{
			kind: "usage-wrong",
			layer: id,
			message: `layer "${id}" takes ${counted.sizeBytes} bytes and ${counted.inodes} inodes; ${usage.sizeBytes} and ${usage.inodes} are recorded`,
			repair: recordIt,
		},
	];
}

/** A filesystem may give blocks back, or take some more, long after a file was written. */
function isNear(a: Usage, b: Usage): boolean {
	return a.inodes === b.inodes && Math.abs(a.sizeBytes - b.sizeBytes) <= SLACK_BYTES + b.sizeBytes / 10;
}
