/** `lamella serve containerd`: the snapshotter on its socket, from start to drained end. */
import type { LayerStore } from "../../store/index.ts";
import type { RunningServer } from "../docker/index.ts";
import { GrpcServer } from "../grpc/index.ts";
import { claimSocket, listenAt } from "../listen.ts";
import type { Logger } from "../log.ts";
import { Snapshots } from "./generated/containerd/services/snapshots/v1/snapshots_pb.js";
import { Health } from "./generated/grpc/health/v1/health_pb.js";
import { addService } from "./grpc-service.ts";
import { healthService, storeAnswers } from "./health.ts";
import { DEFAULT_SNAPSHOTTER_OPTIONS, type SnapshotterOptions } from "./options.ts";
import { snapshotsService } from "./snapshots.ts";
import { statusOf } from "./status.ts";

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
	const grpc = new GrpcServer({ messageBytesMax: MESSAGE_BYTES_MAX, outcomeOf: statusOf, log });
	const snapshots = snapshotsService(store, { ...DEFAULT_SNAPSHOTTER_OPTIONS, ...options });
	addService(grpc, Snapshots, snapshots, log);
	const health = healthService([Snapshots.typeName], () => storeAnswers(store), ending.signal);
	addService(grpc, Health, health, log);
	try {
		await listenAt(grpc.listener, claim);
	} catch (error) {
		claim.release();
		throw error;
	}
	log.info({ socket }, "listening");
	const shutDown = async (): Promise<void> => {
		log.info("draining");
		ending.abort();
		const { cutOff } = await grpc.close(DRAIN_MS);
		if (cutOff > 0) log.warn({ connections: cutOff }, "calls were cut off");
		claim.release();
		log.info("stopped");
	};
	let closing: Promise<void> | undefined;
	const close = (): Promise<void> => {
		closing ??= shutDown();
		return closing;
	};
	return { socket, close, [Symbol.asyncDispose]: close };
}
