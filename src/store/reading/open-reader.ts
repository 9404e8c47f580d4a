/** Opening a store for looking: nothing is made, swept or changed, and a root without a store reads as an empty one. */
import { existsSync } from "node:fs";
import type { DriverName } from "../../driver/index.ts";
import { LamellaError } from "../../errors/index.ts";
import type { LayerReader } from "../contract.ts";
import { Database } from "../database/database.ts";
import { databaseMissing } from "../database/errors.ts";
import { factOf } from "../database/facts.ts";
import { type Layout, layoutAt } from "../disk/layout.ts";
import { isStore } from "../disk/marker.ts";
import { storeFailure } from "../failure.ts";
import { layerReader } from "./layer-reader.ts";

export interface LayerReaderOptions {
	/** State root. */
	readonly root: string;
	/** Refuse a store whose layers were made by another one. */
	readonly driver?: DriverName | undefined;
}

export interface OpenLayerReader extends LayerReader, Disposable {}

/**
 * Opens what the records at a state root say, without the operations of a store and what those load: the start of a
 * command that lists is short. The checks are those of `openLayerStore`.
 * @throws {LamellaError} `EPERMISSION`, `ECONFIG`, `ECORRUPT`, `ENATIVE`
 */
export function openLayerReader({ root, driver }: LayerReaderOptions): OpenLayerReader {
	const layout = layoutAt(root);
	let database: Database | undefined;
	try {
		database = openDatabaseForReading(layout);
		chooseDriver(database, layout, driver);
		const opened = database;
		return { ...layerReader(layout, opened), [Symbol.dispose]: () => opened.close() };
	} catch (error) {
		database?.close();
		throw storeFailure(error, `open the store at ${layout.root}`);
	}
}

/** @throws {LamellaError} `ECONFIG` where the root is something else than a store, `ECORRUPT` */
export function openDatabaseForReading(layout: Layout): Database {
	const isThere = isStore(layout.root);
	if (isThere && !existsSync(layout.database)) throw databaseMissing(layout.database);
	return Database.open(isThere ? layout.database : "", { readOnly: true });
}

export interface ChosenDriver {
	readonly name: DriverName | "auto";
	/** It is not to be vfs. */
	readonly mustMount: boolean;
}

/** @throws {LamellaError} `ECONFIG` where layers were made with another driver */
export function chooseDriver(
	database: Database,
	layout: Layout,
	asked: DriverName | "auto" = "auto",
): ChosenDriver {
	const before = factOf(database, "driver");
	const take = (name: DriverName | "auto", mustMount = false): ChosenDriver => ({ name, mustMount });
	if (before !== "packed" && before !== "overlay" && before !== "vfs") return take(asked);
	// Moved to where packed layers cannot be mounted, they can still be listed, exported and removed.
	if (asked === "auto" && before === "packed") return take("auto", true);
	if (asked === "auto" || asked === before) return take(before);
	// Either of these two mounts the layers of the other.
	if (before !== "vfs" && asked !== "vfs") return take(asked);
	if (database.get("SELECT 1 FROM layers LIMIT 1") === undefined) return take(asked);
	throw new LamellaError(
		"ECONFIG",
		`the layers in ${layout.root} were made by the ${before} driver; open it with that, or take another state root`,
	);
}
