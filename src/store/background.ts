/** Work that nobody waits for: it is finished before the store closes, and its failures are kept for `status`. */

const FAILURES_MAX = 20;

export class Background {
	readonly #running = new Set<Promise<void>>();
	/** Begin what waits for its time at once. */
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

	/** The same after a while, or as soon as somebody waits for all to be settled. */
	later(what: string, delayMs: number, work: () => Promise<unknown>): void {
		const begun = new Promise<void>((begin) => {
			const hurry = (): void => {
				clearTimeout(timer);
				this.#hurry.delete(hurry);
				begin();
			};
			const timer = setTimeout(hurry, delayMs);
			this.#hurry.add(hurry);
		});
		this.run(what, () => begun.then(work));
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
		while (this.#running.size > 0) {
			for (const hurry of this.#hurry) hurry();
			await Promise.all(this.#running);
		}
	}
}
