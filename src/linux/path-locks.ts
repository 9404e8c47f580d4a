/**
 * Owns locks on files and directories: first among the callers of one PathLocks, then among all others on the machine, by
 * flock. They are held for moments, never over bulk file work.
 */
import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { escapePath, LamellaError } from "../errors/index.ts";
import { LOCK_EX, LOCK_NB, O_RDONLY } from "./constants.ts";
import { flock } from "./files.ts";

// A waiting flock would stop the event loop, so it is tried again and again: soon at first, since holders are quick.
const FIRST_RETRY_MS = 1;
const LAST_RETRY_MS = 25;
const TIMEOUT_MS = 60_000;

export class PathLocks {
	readonly #tails = new Map<string, Promise<void>>();

	/**
	 * Runs `work` with the lock on what is at `path`. Where nothing is there `work` runs all the same, to see for itself.
	 * @throws {LamellaError} `EBUSY` when another process holds it for a minute
	 */
	async with<R>(path: string, work: () => Promise<R>): Promise<R> {
		const before = this.#tails.get(path) ?? Promise.resolve();
		const { promise, resolve: done } = Promise.withResolvers<void>();
		const tail = before.then(() => promise);
		this.#tails.set(path, tail);
		await before;
		try {
			const fd = await lock(path);
			try {
				return await work();
			} finally {
				if (fd !== undefined) closeSync(fd);
			}
		} finally {
			done();
			if (this.#tails.get(path) === tail) this.#tails.delete(path);
		}
	}

	/** As `with`, of several paths: always in the same order, so that no two callers wait for one another. */
	async withAll<R>(paths: readonly string[], work: () => Promise<R>): Promise<R> {
		const inOrder = [...new Set(paths)].sort();
		const next = (i: number): Promise<R> => {
			const path = inOrder[i];
			return path === undefined ? work() : this.with(path, () => next(i + 1));
		};
		return await next(0);
	}
}

async function lock(path: string): Promise<number | undefined> {
	let fd: number;
	try {
		fd = openSync(path, O_RDONLY);
	} catch (error) {
		if (error instanceof Error && Reflect.get(error, "code") === "ENOENT") return undefined;
		throw error;
	}
	try {
		const deadlineMs = performance.now() + TIMEOUT_MS;
		for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(waitMs * 2, LAST_RETRY_MS)) {
			if (flock(fd, LOCK_EX | LOCK_NB)) return fd;
			if (performance.now() > deadlineMs) {
				const shown = escapePath(Buffer.from(path));
				throw new LamellaError(
					"EBUSY",
					`another process has been holding the lock of ${shown} for a minute; wait for it, or end it`,
					{ path: shown },
				);
			}
			await sleep(waitMs);
		}
	} catch (error) {
		closeSync(fd);
		throw error;
	}
}
