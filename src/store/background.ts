/** Work that nobody waits for: it is finished before the store closes, and its failures are kept for `status`. */

const FAILURES_MAX = 20;

export class Background {
	readonly #running = new Set<Promise<void>>();
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

	failed(what: string, error: unknown): void {
		this.#failures.push(`could not ${what}: ${error instanceof Error ? error.message : String(error)}`);
		if (this.#failures.length > FAILURES_MAX) this.#failures.shift();
	}

	get failures(): readonly string[] {
		return this.#failures;
	}

	async settled(): Promise<void> {
		// What finishes may have begun something new.
		while (this.#running.size > 0) await Promise.all(this.#running);
	}
}
