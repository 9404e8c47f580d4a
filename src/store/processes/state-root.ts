/**
 * Who is at a state root: every process that has the store open to write holds `<root>/lock` shared. One that gets it alone
 * may repair what must not be touched while others are at work; then it shares the lock like the rest.
 */
import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { Layout } from "../disk/layout.ts";

const RETRY_MS = 5;
const TIMEOUT_MS = 120_000;

export class StateRootLock {
	readonly #fd: number;
	/** Whether nobody else had the store open when this was taken. */
	readonly alone: boolean;

	private constructor(fd: number, alone: boolean) {
		this.#fd = fd;
		this.alone = alone;
	}

	/** @throws {LamellaError} `EBUSY` when another process repairs the store for minutes */
	static async take(layout: Layout): Promise<StateRootLock> {
		const fd = openSync(layout.lock, linux.O_RDWR | linux.O_CREAT, 0o600);
		try {
			const deadlineMs = performance.now() + TIMEOUT_MS;
			for (;;) {
				if (linux.flock(fd, linux.LOCK_EX | linux.LOCK_NB)) return new StateRootLock(fd, true);
				if (linux.flock(fd, linux.LOCK_SH | linux.LOCK_NB)) return new StateRootLock(fd, false);
				if (performance.now() > deadlineMs) {
					throw new LamellaError(
						"EBUSY",
						`another process has been repairing the store at ${layout.root} for two minutes; wait for it, or end it`,
					);
				}
				await sleep(RETRY_MS);
			}
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	/** From alone to shared. */
	share(): void {
		linux.flock(this.#fd, linux.LOCK_SH);
	}

	release(): void {
		closeSync(this.#fd);
	}
}
