/** Check: whether what is on disk is still what was recorded, as far as the driver keeps something to compare it with. */
import { isLamellaError } from "../../errors/index.ts";
import type { StoreContext } from "../context.ts";
import type { CheckedLayer, LayerId, OperationOptions } from "../contract.ts";
import { layerRecord } from "../database/layers.ts";
import { storeFailure } from "../failure.ts";

export async function checkLayer(
	store: StoreContext,
	id: LayerId,
	{ signal }: OperationOptions,
): Promise<CheckedLayer> {
	const record = layerRecord(store.database, id);
	try {
		const [layer, ...chain] = store.placesFrom(record);
		return { layer: id, ...(await store.driver.check(layer, chain, { signal })) };
	} catch (error) {
		const failure = storeFailure(error, `check layer "${id}"`, id);
		// Its data, or that of a layer below, is missing or cannot be read. Other layers are checked all the same.
		if (isLamellaError(failure, "ECORRUPT") || isLamellaError(failure, "ESYSTEM")) {
			return { layer: id, isVerified: true, problems: [failure.message] };
		}
		throw failure;
	}
}
