/** Work on the layers of an image, several at one time. */
import { checkAborted } from "./failure.ts";

/**
 * Does `work` for each item, `width` at one time, in the items' order. The first failure cancels the others and is thrown once
 * all have ended; a cancelled `signal` is thrown as `EABORTED`, as a cancelled `what`.
 */
export async function sideBySide<T, R>(
	items: readonly T[],
	{ width, what, signal }: { width: number; what: string; signal: AbortSignal | undefined },
	work: (item: T, index: number, signal: AbortSignal) => Promise<R>,
): Promise<readonly R[]> {
	const results: R[] = [];
	const failed = new AbortController();
	const both = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
	const queue = items.entries();
	const worker = async (): Promise<void> => {
		for (const [index, item] of queue) {
			checkAborted(both, what);
			results[index] = await work(item, index, both);
		}
	};
	const workers = Array.from({ length: width }, () =>
		worker().catch((error: unknown) => {
			// The others are of no use any more; the first failure is the one to tell.
			failed.abort(error);
			throw error;
		}),
	);
	const settled = await Promise.allSettled(workers);
	if (settled.some(({ status }) => status === "rejected")) {
		checkAborted(signal, what);
		throw failed.signal.reason;
	}
	return results;
}
