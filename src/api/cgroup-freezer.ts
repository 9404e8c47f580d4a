/** Making all processes of a cgroup stand still, by the unified hierarchy's freezer. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { escapePath, LamellaError } from "../errors/index.ts";
import type { Freezer } from "../store/index.ts";

const POLL_MS = 1;
const TIMEOUT_MS = 10_000;

/**
 * A freezer for the cgroup at `directory` (`/sys/fs/cgroup/…`, where a container's processes are), for
 * `store.checkpoint(name, { live })`. Source: kernel Documentation/admin-guide/cgroup-v2.rst, cgroup.freeze.
 * `freeze` rejects with `EINVALID` where there is no such cgroup, `EBUSY` where it does not stand still within ten seconds.
 */
export function cgroupFreezer(directory: string): Freezer {
	const shown = escapePath(Buffer.from(directory));
	const write = (value: "0" | "1"): void => {
		try {
			writeFileSync(path.join(directory, "cgroup.freeze"), value, { flag: "r+" });
		} catch (cause) {
			throw new LamellaError(
				"EINVALID",
				`${shown} is no cgroup that can be frozen; give the directory of one in the unified hierarchy, below /sys/fs/cgroup`,
				{ path: shown, cause },
			);
		}
	};
	let isFrozen = false;
	return {
		freeze: async () => {
			write("1");
			isFrozen = true;
			const deadlineMs = performance.now() + TIMEOUT_MS;
			while (!/^frozen 1$/m.test(readFileSync(path.join(directory, "cgroup.events"), "latin1"))) {
				if (performance.now() > deadlineMs) {
					throw new LamellaError(
						"EBUSY",
						`the processes in ${shown} do not stand still; try again, or end what waits for a disk or a debugger`,
						{ path: shown },
					);
				}
				await sleep(POLL_MS);
			}
		},
		thaw: async () => {
			if (isFrozen) write("0");
			isFrozen = false;
		},
	};
}
