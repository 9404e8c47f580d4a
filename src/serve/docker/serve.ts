/** `lamella serve docker`: the plugin on its socket, from start to drained end. */
import type http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { LayerStore } from "../../store/index.ts";
import { claimSocket, listenAt, type RunningServer, runningServer } from "../listen.ts";
import type { Logger } from "../log.ts";
import { DockerPlugin } from "./plugin.ts";
import { createDockerServer } from "./server.ts";

/** Where dockerd looks first for a plugin named `lamella`. */
export const DEFAULT_DOCKER_SOCKET = "/run/docker/plugins/lamella.sock";
export const DEFAULT_DOCKER_STATE = "/var/lib/lamella-docker";

/** How often connections that became idle are closed while the server drains. */
const DRAIN_STEP_MS = 20;

export interface ServeDockerOptions {
	readonly socket?: string | undefined;
	/** Where the last Init is remembered. */
	readonly stateDirectory?: string | undefined;
	/** Keeps the layers here, and not in a store at the home that dockerd names. Stays open when the server ends. */
	readonly store?: LayerStore | undefined;
	readonly log: Logger;
}

/**
 * Serves the graph driver plugin protocol.
 * @throws {LamellaError} `EBUSY` (somebody listens there), `EEXISTS`, `EINVALID`, `ECORRUPT` (remembered state)
 */
export async function serveDocker(options: ServeDockerOptions): Promise<RunningServer> {
	const { socket = DEFAULT_DOCKER_SOCKET, stateDirectory = DEFAULT_DOCKER_STATE, store, log } = options;
	const claim = await claimSocket(socket);
	const plugin = new DockerPlugin(stateDirectory, log, store);
	const server = createDockerServer(plugin, log);
	try {
		await plugin.resume();
		await listenAt(server, claim);
	} catch (error) {
		await plugin.close();
		claim.release();
		throw error;
	}
	log.info({ socket }, "listening");
	return runningServer(async () => {
		log.info("draining");
		await drain(server);
		await plugin.close();
		claim.release();
		log.info("stopped");
	});
}

/** Takes no more connections, and closes each one that there is as soon as it has its answer. */
async function drain(server: http.Server): Promise<void> {
	let drained = false;
	server.close(() => {
		drained = true;
	});
	while (!drained) {
		server.closeIdleConnections();
		await sleep(DRAIN_STEP_MS);
	}
}
