/**
 * Who is at a state root: every process with the store open holds `<root>/lock` shared. Whoever gets it alone may
 * repair what nobody may touch while others are at work, and then shares it like the rest.
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
						`another process has been repairing ${layout.root} for two minutes`,
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
