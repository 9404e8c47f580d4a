/** Asking again: how often, and after how long. */
import { setTimeout as sleep } from "node:timers/promises";
import { RegistryError } from "./failure.ts";

export interface RetryPolicy {
	/** How often one thing is asked of a host before it is given up. */
	readonly attempts: number;
	/** Before the second attempt; twice as long before each further one. */
	readonly firstDelayMs: number;
	readonly longestDelayMs: number;
	/** A host that asks for a longer pause than this is given up. */
	readonly longestRetryAfterMs: number;
}

export const RETRY: RetryPolicy = {
	attempts: 6,
	firstDelayMs: 250,
	longestDelayMs: 8000,
	longestRetryAfterMs: 60_000,
};

/** How long to wait after the failure number `failures` (from 1); undefined where it is not to be tried again. */
export function delayAfter(error: unknown, failures: number, policy: RetryPolicy): number | undefined {
	if (!(error instanceof RegistryError) || !error.isPassing || failures >= policy.attempts) return undefined;
	const { retryAfterMs } = error;
	if (retryAfterMs !== undefined)
		return retryAfterMs <= policy.longestRetryAfterMs ? retryAfterMs : undefined;
	const delayMs = Math.min(policy.longestDelayMs, policy.firstDelayMs * 2 ** (failures - 1));
	// Clients that were refused at one time should not all come again at one time.
	return delayMs * (0.5 + Math.random() / 2);
}

/** @throws what the signal gives, as an AbortError */
export async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
	await sleep(delayMs, undefined, signal === undefined ? {} : { signal });
}

/** Does `work`, and again where its failure may pass. @throws the last failure */
export async function retrying<T>(
	policy: RetryPolicy,
	signal: AbortSignal | undefined,
	work: () => Promise<T>,
): Promise<T> {
	for (let failures = 1; ; failures++) {
		try {
			return await work();
		} catch (error) {
			const delayMs = delayAfter(error, failures, policy);
			if (delayMs === undefined) throw error;
			await pause(delayMs, signal);
		}
	}
}

/** Milliseconds of a Retry-After header: seconds, or a date. Source: RFC 9110, 10.2.3. */
export function parseRetryAfter(header: string | undefined): number | undefined {
	if (header === undefined) return undefined;
	if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
	const ms = Date.parse(header);
	return Number.isNaN(ms) ? undefined : Math.max(0, ms - Date.now());
}
