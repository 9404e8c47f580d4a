/** Flushes the database's log on a thread of Node's pool: one flush for all who wait for one. */
import { closeSync, fdatasync, openSync } from "node:fs";
import { promisify } from "node:util";
import { Together } from "../processes/together.ts";

const flush = promisify(fdatasync);

export class LogFlush {
	// While this process has the database open, nobody deletes the log or puts another in its place.
	readonly #fd: number;
	readonly #flushes: Together;

	constructor(file: string) {
		this.#fd = openSync(file, "r");
		this.#flushes = new Together(() => flush(this.#fd));
	}

	/** Resolves when all that is in the log now is durable. */
	flushed(): Promise<void> {
		return this.#flushes.done();
	}

	close(): void {
		closeSync(this.#fd);
	}
}
