/** One piece of work for several callers: those that ask while it is being done share the next round. */
export class Together {
	readonly #work: () => Promise<void>;
	#running: Promise<void> = Promise.resolve();
	#next: Promise<void> | undefined;

	constructor(work: () => Promise<void>) {
		this.#work = work;
	}

	/** Resolves when the work was done, begun after this call. */
	done(): Promise<void> {
		this.#next ??= this.#running
			.catch(() => undefined)
			.then(() => {
				this.#next = undefined;
				this.#running = this.#work();
				return this.#running;
			});
		return this.#next;
	}
}
