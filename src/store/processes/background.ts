/** Work that nobody waits for: it is finished before the store closes, and its failures are kept for `status`. */

const FAILURES_MAX = 20;

export class Background {
	readonly #running = new Set<Promise<void>>();
	/** Each starts at once what waits for its time. */
	readonly #hurry = new Set<() => void>();
	readonly #failures: string[] = [];

	/** Runs `work` off the critical path. `what` names it in a failure: `delete trash`, `flatten layer "x"`. */
	run(what: string, work: () => Promise<unknown>): void {
		const running = work().then(
			() => undefined,
			(error: unknown) => this.failed(what, error),
		);
		this.#running.add(running);
		void running.then(() => this.#running.delete(running));
	}

	/**
	 * As `run`, but after `delayMs`, or as soon as somebody waits for all to be settled. Returns a function that starts it at
	 * once; calling that twice is harmless.
	 */
	later(what: string, delayMs: number, work: () => Promise<unknown>): () => void {
		const begin = (): void => {
			clearTimeout(timer);
			if (this.#hurry.delete(begin)) this.run(what, work);
		};
		const timer = setTimeout(begin, delayMs);
		this.#hurry.add(begin);
		return begin;
	}

	failed(what: string, error: unknown): void {
		this.#failures.push(`could not ${what}: ${error instanceof Error ? error.message : String(error)}`);
		if (this.#failures.length > FAILURES_MAX) this.#failures.shift();
	}

	get failures(): readonly string[] {
		return this.#failures;
	}

	/** Waits for what has started. */
	async begunSettled(): Promise<void> {
		// What finishes may have begun something new.
		while (this.#running.size > 0) await Promise.all(this.#running);
	}

	/** Waits for all, and starts at once what would wait for its time. */
	async settled(): Promise<void> {
		while (this.#running.size + this.#hurry.size > 0) {
			for (const begin of this.#hurry) begin();
			await Promise.all(this.#running);
		}
	}
}
