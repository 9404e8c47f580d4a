/**
 * Making all processes of a cgroup stand still: `cgroup.freeze` in the unified hierarchy, `freezer.state` in the older one.
 * One that is frozen already (a paused container's) stays so.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { escapePath, LamellaError } from "../errors/index.ts";
import type { Freezer } from "../store/index.ts";

const POLL_MS = 1;
const TIMEOUT_MS = 10_000;

interface Hierarchy {
	readonly file: string;
	readonly freeze: string;
	readonly thaw: string;
	/** Where the state is read that the processes are in, and what it says when all stand still. */
	readonly state: string;
	readonly isFrozen: RegExp;
}

// Source: kernel Documentation/admin-guide/cgroup-v2.rst, and cgroup-v1/freezer-subsystem.rst.
const HIERARCHIES: readonly Hierarchy[] = [
	{ file: "cgroup.freeze", freeze: "1", thaw: "0", state: "cgroup.events", isFrozen: /^frozen 1$/m },
	{ file: "freezer.state", freeze: "FROZEN", thaw: "THAWED", state: "freezer.state", isFrozen: /^FROZEN$/m },
];

/**
 * A freezer for the cgroup at `directory` (`/sys/fs/cgroup/…`, where a container's processes are), for
 * `store.checkpoint(name, { live })`. `freeze` rejects with `EBUSY` where the processes do not stand still within ten seconds.
 * @throws {LamellaError} `EINVALID` where there is no such cgroup, or none that can be frozen
 */
export function cgroupFreezer(directory: string): Freezer {
	const shown = escapePath(Buffer.from(directory));
	const hierarchy = HIERARCHIES.find(({ file }) => existsSync(path.join(directory, file)));
	if (hierarchy === undefined) {
		throw new LamellaError(
			"EINVALID",
			`${shown} is not a cgroup that can be frozen; give the directory of one below /sys/fs/cgroup`,
			{ path: shown },
		);
	}
	const write = (value: string): void =>
		writeFileSync(path.join(directory, hierarchy.file), value, { flag: "r+" });
	const isFrozen = (): boolean =>
		hierarchy.isFrozen.test(readFileSync(path.join(directory, hierarchy.state), "latin1"));
	let isOurs = false;
	return {
		freeze: async () => {
			if (isFrozen()) return;
			isOurs = true;
			write(hierarchy.freeze);
			const deadlineMs = performance.now() + TIMEOUT_MS;
			while (!isFrozen()) {
				if (performance.now() > deadlineMs) {
					throw new LamellaError(
						"EBUSY",
						`the processes in ${shown} cannot be frozen; try again, or end the process that waits for a disk or a debugger`,
						{ path: shown },
					);
				}
				await sleep(POLL_MS);
			}
		},
		thaw: async () => {
			if (isOurs) write(hierarchy.thaw);
			isOurs = false;
		},
	};
}
