/** Flushes the database's log on a thread of Node's pool: one flush for all who wait for one. */
import { closeSync, fdatasync, openSync } from "node:fs";
import { promisify } from "node:util";

const flush = promisify(fdatasync);

export class LogFlush {
	// While this process has the database open, nobody deletes the log or puts another in its place.
	readonly #fd: number;
	#running: Promise<void> = Promise.resolve();
	/** The flush that has not begun: it takes with it what is in the log by then. */
	#next: Promise<void> | undefined;

	constructor(file: string) {
		this.#fd = openSync(file, "r");
	}

	/** Resolves when all that is in the log now is durable. */
	flushed(): Promise<void> {
		this.#next ??= this.#running
			.catch(() => undefined)
			.then(() => {
				this.#running = flush(this.#fd);
				this.#next = undefined;
				return this.#running;
			});
		return this.#next;
	}

	close(): void {
		closeSync(this.#fd);
	}
}
