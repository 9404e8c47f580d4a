/** `lamella serve`: what a configuration asks for, in one process and on one store. */
import { stateRoot } from "../api/index.ts";
import { LamellaError } from "../errors/index.ts";
import { type LayerStore, openLayerStore } from "../store/index.ts";
import type { ContainerdConfig, DockerConfig, ServeConfig } from "./config/index.ts";
import type { SnapshotterOptions } from "./containerd/index.ts";
import { type RunningServer, serveDocker } from "./docker/index.ts";
import type { Logger } from "./log.ts";

/** The servers of a configuration. `close` ends them all, then lets go of the store. */
export interface RunningServers extends AsyncDisposable {
	readonly sockets: readonly string[];
	close(): Promise<void>;
}

/**
 * Opens the store and starts each server that the configuration has a table for.
 * @throws {LamellaError} `ECONFIG` where it has none; as openLayerStore, serveContainerd and serveDocker
 */
export async function serve(config: ServeConfig, log: Logger): Promise<RunningServers> {
	const { containerd, docker } = config;
	if (containerd === undefined && docker === undefined) {
		throw new LamellaError(
			"ECONFIG",
			"there is nothing to serve: the configuration has neither [containerd] nor [docker]",
		);
	}
	const store = needsStore(config) ? await openStoreOf(config) : undefined;
	for (const notice of store?.notices ?? []) log.warn(notice);
	const servers: RunningServer[] = [];
	let closing: Promise<void> | undefined;
	const close = (): Promise<void> => {
		closing ??= closeAll(servers, store);
		return closing;
	};
	try {
		if (containerd !== undefined && store !== undefined) {
			servers.push(await startContainerd(containerd, store, log.child({ server: "containerd" })));
		}
		if (docker !== undefined) {
			servers.push(await startDocker(docker, store, log.child({ server: "docker" })));
		}
	} catch (error) {
		await close();
		throw error;
	}
	return { sockets: servers.map(({ socket }) => socket), close, [Symbol.asyncDispose]: close };
}

function needsStore({ containerd, docker }: ServeConfig): boolean {
	return containerd !== undefined || docker?.["own-store"] === false;
}

function openStoreOf({ root, driver, flatten }: ServeConfig): Promise<LayerStore> {
	return openLayerStore({ root: stateRoot(root), driver, flatten });
}

async function startContainerd(
	config: ContainerdConfig,
	store: LayerStore,
	log: Logger,
): Promise<RunningServer> {
	const { serveContainerd } = await import("./containerd/serve.ts");
	const options: SnapshotterOptions = {
		idMaps: config["id-maps"],
		upperdirLabel: config["upperdir-label"],
		remoteSnapshots: config["remote-snapshots"],
	};
	return await serveContainerd({ store, socket: config.socket, options, log });
}

function startDocker(
	config: DockerConfig,
	store: LayerStore | undefined,
	log: Logger,
): Promise<RunningServer> {
	return serveDocker({
		socket: config.socket,
		stateDirectory: config["state-dir"],
		store: config["own-store"] ? undefined : store,
		log,
	});
}

async function closeAll(servers: readonly RunningServer[], store: LayerStore | undefined): Promise<void> {
	try {
		await Promise.all(servers.map((server) => server.close()));
	} finally {
		await store?.close();
	}
}
