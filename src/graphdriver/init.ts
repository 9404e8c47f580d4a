/** Starting the graph driver: kernel, options, home, the store, recovery. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { isLamellaError, LamellaError } from "../errors/index.ts";
import { checkIdMap, type IdMapRange, type IdMaps } from "../idmap/index.ts";
import { type LayerStore, openLayerStore } from "../store/index.ts";
import { Home } from "./home.ts";
import { parseDriverOptions } from "./options.ts";
import { StoreGraphDriver } from "./store-graph-driver.ts";

/**
 * Opens the graph driver whose layers are kept below `home`, and makes `home` where there is none.
 *
 * @param home absolute path; dockerd gives `<data-root>/<driver name>`
 * @param options `KEY=VALUE`: `lamella.flatten` (`always`, `auto`, `never`), `lamella.driver` (`overlay`, `vfs`)
 * @param uidMaps container ids and the host ids they stand for; empty: the same
 * @param shared keeps the layers here and not below `home`; it stays open when the driver closes, and has its own options
 * @throws {LamellaError} `ENOTSUPPORTED` (kernel), `EINCOMPATIBLEFS` (backing filesystem), `EINVALID` (option),
 *   `EBUSY` (another process has it open), `EPERMISSION`
 */
export async function init(
	home: string,
	options: readonly string[] = [],
	uidMaps: readonly IdMapRange[] = [],
	gidMaps: readonly IdMapRange[] = [],
	shared?: LayerStore,
): Promise<StoreGraphDriver> {
	const { flatten, driver } = parseDriverOptions(options);
	if (!path.isAbsolute(home)) {
		throw new LamellaError("EINVALID", `the graph driver's home must be an absolute path, not "${home}"`);
	}
	if (driver !== "vfs") checkKernel();
	const idMaps: IdMaps | undefined =
		uidMaps.length === 0 && gidMaps.length === 0
			? undefined
			: { uids: checkIdMap(uidMaps), gids: checkIdMap(gidMaps) };
	const store =
		shared === undefined
			? await openLayerStore({ root: home, driver, mustMount: true, flatten }).catch(tellOption)
			: borrowed(shared, options, idMaps);
	try {
		const claimed = Home.claim(home, shared?.status().root ?? home, idMaps);
		try {
			const graphDriver = new StoreGraphDriver(store, idMaps, claimed);
			await graphDriver.recover();
			return graphDriver;
		} catch (error) {
			claimed.release();
			throw error;
		}
	} catch (error) {
		await store.close();
		throw error;
	}
}

/** Somebody who reads dockerd's log takes "the vfs driver" for dockerd's own. */
function tellOption(error: unknown): never {
	if (!isLamellaError(error, "EINCOMPATIBLEFS")) throw error;
	throw new LamellaError("EINCOMPATIBLEFS", `${error.message} (storage option lamella.driver=vfs)`, {
		path: error.path,
		cause: error,
	});
}

/** The store of others, which closing the driver leaves open. @throws {LamellaError} `EINVALID` */
function borrowed(store: LayerStore, options: readonly string[], idMaps: IdMaps | undefined): LayerStore {
	if (options.length > 0) {
		throw new LamellaError(
			"EINVALID",
			`storage option "${options[0]}" cannot be given for a store that others use too; set it in lamella's configuration`,
		);
	}
	if (idMaps !== undefined) {
		throw new LamellaError(
			"EINVALID",
			"userns-remap cannot be used with a store that others use too; set own-store = true in lamella's configuration",
		);
	}
	const leave = (): Promise<void> => Promise.resolve();
	return { ...store, close: leave, [Symbol.asyncDispose]: leave };
}

/** @throws {LamellaError} `ENOTSUPPORTED` */
function checkKernel(): void {
	if (hasOverlay()) return;
	// By absolute path. Its text does not matter: the list is read again.
	spawnSync("/sbin/modprobe", ["overlay"], { stdio: "ignore" });
	if (hasOverlay()) return;
	throw new LamellaError(
		"ENOTSUPPORTED",
		"this kernel has no overlay filesystem and the module cannot be loaded; " +
			"use one with CONFIG_OVERLAY_FS, or the option lamella.driver=vfs",
	);
}

function hasOverlay(): boolean {
	return readFileSync("/proc/filesystems", "utf8").split("\n").includes("nodev\toverlay");
}
