/**
 * What a transaction leaves to be done in the filesystem: written in the same transaction, taken out by the next
 * one of the process that did it, or done by whoever opens the store after a crash. Doing it twice is harmless.
 *
 *     trash/<n>                     layers/<n> is recorded no more, and goes to trash
 *     sidecar/<n>                   layers/<n>/layer.json is to be written from the record
 *     record/<namespace>/<key>      the record's file is to be written or removed
 */
import type { MetaTransaction } from "./meta-store.ts";

export type PendingWork = `trash/${string}` | `sidecar/${string}` | `record/${string}`;

export type SettledWork = readonly (readonly [work: PendingWork, token: string])[];

export class Pending {
	readonly #owner: string;
	#count = 0;
	/** Done, and to be taken out by the next transaction. */
	readonly #done = new Map<PendingWork, string>();

	constructor(owner: string) {
		this.#owner = owner;
	}

	/** Notes work within a transaction. Returns its token for `done`. */
	note(transaction: MetaTransaction, work: PendingWork): string {
		const token = `${this.#owner}:${this.#count++}`;
		transaction.put("pending", work, token);
		return token;
	}

	done(work: PendingWork, token: string): void {
		this.#done.set(work, token);
	}

	get hasDone(): boolean {
		return this.#done.size > 0;
	}

	/**
	 * Takes out what is done, within a transaction; once that has come through, `forget` what this returned.
	 * Work that was noted anew since then has another token and stays.
	 */
	settle(transaction: MetaTransaction): SettledWork {
		for (const [work, token] of this.#done) {
			if (transaction.get<string>("pending", work) === token) transaction.remove("pending", work);
		}
		return [...this.#done];
	}

	forget(settled: SettledWork): void {
		for (const [work, token] of settled) if (this.#done.get(work) === token) this.#done.delete(work);
	}
}
