/** grpc.health.v1: SERVING while the store answers, for probes and `grpc_health_probe`. */

import { LamellaError } from "../../errors/index.ts";
import type { LayerStore } from "../../store/index.ts";
import {
	type Health,
	HealthCheckResponse_ServingStatus as Serving,
} from "./generated/grpc/health/v1/health_pb.ts";
import type { ServiceMethods } from "./grpc/index.ts";

/** `services` are the names that are asked for, beside "" for all. `isServing` is asked at each check. */
export function healthService(
	services: readonly string[],
	isServing: () => boolean,
	ending: AbortSignal,
): ServiceMethods<typeof Health> {
	const known = (service: string): boolean => service === "" || services.includes(service);
	const current = (): Serving => (isServing() ? Serving.SERVING : Serving.NOT_SERVING);
	return {
		check: ({ service }) => {
			if (!known(service)) throw new LamellaError("ENOTFOUND", `there is no service "${service}" here`);
			return { status: current() };
		},
		watch: async function* ({ service }, { signal }) {
			if (!known(service)) {
				// By the protocol a watcher of an unknown service is told so and goes on waiting.
				yield { status: Serving.SERVICE_UNKNOWN };
			} else {
				yield { status: current() };
			}
			await eitherFires(signal, ending);
			if (ending.aborted && known(service)) yield { status: Serving.NOT_SERVING };
		},
	};
}

async function eitherFires(...signals: readonly AbortSignal[]): Promise<void> {
	const fired = Promise.withResolvers<void>();
	const fire = (): void => fired.resolve();
	if (signals.some(({ aborted }) => aborted)) fire();
	for (const signal of signals) signal.addEventListener("abort", fire);
	await fired.promise;
	// The server's own signal outlives many watchers.
	for (const signal of signals) signal.removeEventListener("abort", fire);
}

/** Whether the store can be read. */
export function storeAnswers(store: LayerStore): boolean {
	try {
		for (const _ of store.list()) break;
		return true;
	} catch {
		// Whatever it says, it is in the log of the calls that fail.
		return false;
	}
}
