/** Waiting for lowers that other jobs are still writing, when layers of a chain are applied side by side. */
import { LamellaError } from "../../errors/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import type { ApplyTarget } from "../contract.ts";

export const LOWERS_WHOLE = 1;
export const LOWERS_FAILED = 2;
const POLL_MS = 100;

/**
 * Blocks the worker thread until the target's lowers are whole. Free where they are already; call it before the
 * first look into a lower.
 * @throws {LamellaError} `EABORTED` when a lower failed or the job was cancelled
 */
export function awaitLowers(target: Pick<ApplyTarget, "lowersReady">, context: JobContext): void {
	if (target.lowersReady === undefined) return;
	const state = new Int32Array(target.lowersReady);
	for (;;) {
		const now = Atomics.load(state, 0);
		if (now === LOWERS_WHOLE) return;
		if (now === LOWERS_FAILED) {
			throw new LamellaError("EABORTED", "a layer below could not be applied");
		}
		// Woken when the lowers are done; in between only to see whether the job was cancelled.
		Atomics.wait(state, 0, now, POLL_MS);
		context.checkAborted();
	}
}
