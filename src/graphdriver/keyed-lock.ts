/** One operation at a time for each id; different ids do not wait for one another. */

export class KeyedLock {
	readonly #tails = new Map<string, Promise<void>>();

	/** Waits for its turn at every key (taken in one fixed order, so that two callers cannot wait for each other). */
	async run<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
		const sorted = [...new Set(keys)].sort();
		const releases: (() => void)[] = [];
		try {
			for (const key of sorted) releases.push(await this.#acquire(key));
			return await work();
		} finally {
			for (const release of releases) release();
		}
	}

	async #acquire(key: string): Promise<() => void> {
		const before = this.#tails.get(key);
		let release = (): void => {};
		const tail = new Promise<void>((resolve) => {
			release = resolve;
		});
		this.#tails.set(key, tail);
		await before;
		return () => {
			if (this.#tails.get(key) === tail) this.#tails.delete(key);
			release();
		};
	}
}
