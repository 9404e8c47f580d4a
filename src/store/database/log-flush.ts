/** Flushes the database's log on a thread of Node's pool: one flush for all who wait for one. */
import { closeSync, fdatasync, openSync } from "node:fs";
import { promisify } from "node:util";

const flush = promisify(fdatasync);

export class LogFlush {
	// The file stays the same: SQLite deletes the log only when the last connection closes.
	readonly #fd: number;
	#running: Promise<void> = Promise.resolve();
	/** The next flush, which has not begun: it covers all that is in the log by then. */
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
