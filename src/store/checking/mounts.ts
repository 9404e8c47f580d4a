/** What is mounted below mounts/, and what is counted as mounted, in this mount namespace. */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { holdersOf, isMountPoint, unmountTree } from "../../driver/index.ts";
import { mountNamespace } from "../../linux/index.ts";
import type { StoreContext } from "../context.ts";
import { layerOfMount } from "../database/layers.ts";
import { heldLayers, readHold } from "../processes/mount-holds.ts";
import { recover } from "../recovery.ts";
import type { Found } from "./finding.ts";

export function* checkMounts(store: StoreContext): Generator<Found> {
	const { mounts } = store.layout;
	const namespace = mountNamespace();
	for (const entry of existsSync(mounts) ? readdirSync(mounts, { withFileTypes: true }) : []) {
		if (!entry.isDirectory()) continue;
		const target = path.join(mounts, entry.name);
		if (layerOfMount(store.database, entry.name) !== undefined || !isMountPoint(target)) continue;
		const holders = holdersOf(target);
		const who = holders.length === 0 ? "" : `; it is in use by ${holders.join(", ")}`;
		yield {
			kind: "mount-unknown",
			path: target,
			message: `something is mounted at ${target}, and no layer has that mount point${who}`,
			repair: async () => unmountTree(target),
		};
	}
	for (const name of heldLayers(store.layout)) {
		const layer = layerOfMount(store.database, name);
		const file = path.join(mounts, `${name}.json`);
		const isLeft = readHold(file, namespace)?.mounted === true && !isMountPoint(path.join(mounts, name));
		if (layer === undefined || !isLeft) continue;
		yield {
			kind: "hold-without-mount",
			layer: layer.id,
			path: file,
			message: `layer "${layer.id}" counts as mounted (${file}), and nothing is mounted`,
			repair: () => recover(store),
		};
	}
}
