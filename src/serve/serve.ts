/** `lamella serve`: what a configuration asks for, in one process and on one store. */
import { stateRoot } from "../api/index.ts";
import { LamellaError } from "../errors/index.ts";
import { openLayerStore } from "../store/index.ts";
import type { ServeConfig } from "./config/index.ts";
import type { SnapshotterOptions } from "./containerd/index.ts";
import { serveDocker } from "./docker/index.ts";
import { type RunningServer, runningServer } from "./listen.ts";
import type { Logger } from "./log.ts";

/**
 * Opens the store and starts each server that the configuration has a table for; they are closed together, and then the store.
 * @throws {LamellaError} `ECONFIG` where it has none; as openLayerStore, serveContainerd and serveDocker
 */
export async function serve(config: ServeConfig, log: Logger): Promise<RunningServer> {
	const { containerd, docker } = config;
	if (containerd === undefined && docker === undefined) {
		throw new LamellaError(
			"ECONFIG",
			"there is nothing to serve: the configuration has neither [containerd] nor [docker]",
		);
	}
	const needsStore = containerd !== undefined || docker?.["own-store"] === false;
	const { root, driver, flatten } = config;
	const store = needsStore ? await openLayerStore({ root: stateRoot(root), driver, flatten }) : undefined;
	for (const notice of store?.notices ?? []) log.warn(notice);
	const servers: RunningServer[] = [];
	const all = runningServer(async () => {
		try {
			await Promise.all(servers.map((server) => server.close()));
		} finally {
			await store?.close();
		}
	});
	try {
		if (containerd !== undefined && store !== undefined) {
			const { serveContainerd } = await import("./containerd/serve.ts");
			const options: SnapshotterOptions = {
				idMaps: containerd["id-maps"],
				upperdirLabel: containerd["upperdir-label"],
				remoteSnapshots: containerd["remote-snapshots"],
			};
			const own = log.child({ server: "containerd" });
			servers.push(await serveContainerd({ store, socket: containerd.socket, options, log: own }));
		}
		if (docker !== undefined) {
			servers.push(
				await serveDocker({
					socket: docker.socket,
					stateDirectory: docker["state-dir"],
					store: docker["own-store"] ? undefined : store,
					log: log.child({ server: "docker" }),
				}),
			);
		}
	} catch (error) {
		await all.close();
		throw error;
	}
	return all;
}
