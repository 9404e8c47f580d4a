/** `lamella serve containerd`: the snapshotter on its socket, from start to drained end. */
import net from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { LayerStore } from "../../store/index.ts";
import type { RunningServer } from "../docker/index.ts";
import { claimSocket, listenAt, type SocketClaim } from "../listen.ts";
import type { Logger } from "../log.ts";
import { Snapshots } from "./generated/containerd/services/snapshots/v1/snapshots_pb.js";
import { Health } from "./generated/grpc/health/v1/health_pb.js";
import { addService } from "./grpc-service.ts";
import { healthService, storeAnswers } from "./health.ts";
import { DEFAULT_SNAPSHOTTER_OPTIONS, type SnapshotterOptions } from "./options.ts";
import { snapshotsService } from "./snapshots.ts";

/** What `[proxy_plugins.lamella]` in containerd's configuration has as address. */
export const DEFAULT_CONTAINERD_SOCKET = "/run/lamella/containerd.sock";

/** containerd sends and takes messages of up to 16 MiB. */
const MESSAGE_BYTES_MAX = 16 * 2 ** 20;
/** Calls get so long to end once the server is asked to. */
const DRAIN_MS = 30_000;

export interface ServeContainerdOptions {
	/** Stays open when the server ends. */
	readonly store: LayerStore;
	readonly socket?: string | undefined;
	readonly options?: Partial<SnapshotterOptions> | undefined;
	readonly log: Logger;
}

/**
 * Serves the snapshots service and a health check.
 * @throws {LamellaError} `EBUSY` (somebody listens there), `EEXISTS`, `EINVALID`
 */
export async function serveContainerd({
	store,
	socket = DEFAULT_CONTAINERD_SOCKET,
	options = {},
	log,
}: ServeContainerdOptions): Promise<RunningServer> {
	const claim = await claimSocket(socket);
	const ending = new AbortController();
	const grpc = new Server({
		"grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
		"grpc.max_send_message_length": MESSAGE_BYTES_MAX,
		"grpc.enable_channelz": 0,
	});
	addService(grpc, Snapshots, snapshotsService(store, { ...DEFAULT_SNAPSHOTTER_OPTIONS, ...options }), {
		log,
	});
	addService(
		grpc,
		Health,
		healthService([Snapshots.typeName], () => storeAnswers(store), ending.signal),
		{
			log,
		},
	);
	const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
	const listener = net.createServer((connection) => injector.injectConnection(connection));
	try {
		await listenAt(listener, claim);
	} catch (error) {
		grpc.forceShutdown();
		claim.release();
		throw error;
	}
	log.info({ socket }, "listening");
	let closing: Promise<void> | undefined;
	const close = (): Promise<void> => {
		closing ??= shutDown({ grpc, listener, claim, ending, log, drain: () => injector.drain(DRAIN_MS) });
		return closing;
	};
	return { socket, close, [Symbol.asyncDispose]: close };
}

async function shutDown(running: {
	readonly grpc: Server;
	readonly listener: net.Server;
	readonly claim: SocketClaim;
	readonly ending: AbortController;
	readonly log: Logger;
	readonly drain: () => void;
}): Promise<void> {
	const { grpc, listener, claim, ending, log } = running;
	log.info("draining");
	ending.abort();
	listener.close();
	running.drain();
	await new Promise<void>((resolve) => {
		grpc.tryShutdown((error) => {
			if (error !== undefined) log.warn({ err: error }, "calls were cut off");
			resolve();
		});
	});
	claim.release();
	log.info("stopped");
}
