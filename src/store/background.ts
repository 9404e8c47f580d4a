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

	/**
	 * The same, but for somebody who waits for what `work` calls `answer` with. A failure before that is theirs, one after
	 * it is kept as any other.
	 */
	answering<R>(what: string, work: (answer: (result: R) => void) => Promise<unknown>): Promise<R> {
		return new Promise((resolve, reject) => {
			let answered = false;
			const answer = (result: R): void => {
				answered = true;
				resolve(result);
			};
			this.run(what, async () => {
				try {
					await work(answer);
				} catch (error) {
					if (answered) throw error;
					reject(error);
				}
			});
		});
	}

	/** The same as `run` after a while, or as soon as somebody waits for all to be settled. */
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
