/**
 * One lock for each layer, for what changes its record or its mounts: first among the callers of this process, then
 * among processes, by flock on the layer's directory. It is held for moments, never over bulk file work.
 */
import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import { errnoOf } from "../failure.ts";
import { newGate } from "./gate.ts";

// A waiting flock would stop the event loop, so it is tried again and again: soon at first, since holders are quick.
const FIRST_RETRY_MS = 1;
const LAST_RETRY_MS = 25;
const TIMEOUT_MS = 60_000;

export class LayerLocks {
	readonly #tails = new Map<string, Promise<void>>();

	/**
	 * Runs `work` with the lock on the layer in `directory`. Where the directory is gone `work` runs all the same:
	 * it looks at the record first.
	 * @throws {LamellaError} `EBUSY` when another process holds it for a minute
	 */
	async with<R>(directory: string, work: () => Promise<R>): Promise<R> {
		const before = this.#tails.get(directory) ?? Promise.resolve();
		const gate = newGate();
		const tail = before.then(() => gate.promise);
		this.#tails.set(directory, tail);
		await before;
		try {
			const fd = await lock(directory);
			try {
				return await work();
			} finally {
				if (fd !== undefined) closeSync(fd);
			}
		} finally {
			gate.open();
			if (this.#tails.get(directory) === tail) this.#tails.delete(directory);
		}
	}
}

async function lock(directory: string): Promise<number | undefined> {
	let fd: number;
	try {
		fd = openSync(directory, linux.O_RDONLY | linux.O_DIRECTORY);
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return undefined;
		throw error;
	}
	try {
		const deadlineMs = performance.now() + TIMEOUT_MS;
		for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(waitMs * 2, LAST_RETRY_MS)) {
			if (linux.flock(fd, linux.LOCK_EX | linux.LOCK_NB)) return fd;
			if (performance.now() > deadlineMs) {
				throw new LamellaError(
					"EBUSY",
					`another process has been holding the lock of ${directory} for a minute; wait for it, or end it`,
				);
			}
			await sleep(waitMs);
		}
	} catch (error) {
		closeSync(fd);
		throw error;
	}
}
