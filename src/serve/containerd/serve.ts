/** `lamella serve containerd`: the snapshotter on its socket, from start to drained end. */
import type { LayerStore } from "../../store/index.ts";
import { claimSocket, type RunningServer, runningServer } from "../listen.ts";
import type { Logger } from "../log.ts";
import { Snapshots } from "./generated/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Health } from "./generated/grpc/health/v1/health_pb.ts";
import { GrpcServer } from "./grpc/index.ts";
import { healthService, storeAnswers } from "./health.ts";
import {
	DEFAULT_CONTAINERD_SOCKET,
	DEFAULT_SNAPSHOTTER_OPTIONS,
	type SnapshotterOptions,
} from "./options.ts";
import { snapshotsService } from "./snapshots/index.ts";

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
	const grpc = new GrpcServer(log);
	grpc.add(Snapshots, snapshotsService(store, { ...DEFAULT_SNAPSHOTTER_OPTIONS, ...options }));
	grpc.add(
		Health,
		healthService([Snapshots.typeName], () => storeAnswers(store), ending.signal),
	);
	try {
		await grpc.listen(claim);
	} catch (error) {
		claim.release();
		throw error;
	}
	log.info({ socket }, "listening");
	return runningServer(async () => {
		log.info("draining");
		ending.abort();
		const { cutOff } = await grpc.close(DRAIN_MS);
		if (cutOff > 0) log.warn({ connections: cutOff }, "calls were cut off");
		claim.release();
		log.info("stopped");
	});
}
