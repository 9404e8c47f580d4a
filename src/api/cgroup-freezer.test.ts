import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { cgroupFreezer } from "./cgroup-freezer.ts";

const HIERARCHIES = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"].filter((root) =>
	existsSync(path.join(root, "cgroup.procs")),
);

it.each(HIERARCHIES)("makes the processes of a cgroup stand still and lets them go on (%s)", async (root) => {
	const cgroup = path.join(root, `lamella-test-${process.pid}`);
	mkdirSync(cgroup);
	const child = spawn(process.execPath, ["-e", "setInterval(() => process.stdout.write('.'), 1)"], {
		stdio: ["ignore", "pipe", "inherit"],
	});
	const ended = new Promise((resolve) => child.once("close", resolve));
	try {
		writeFileSync(path.join(cgroup, "cgroup.procs"), String(child.pid));
		let said = 0;
		child.stdout.on("data", (chunk: Buffer) => {
			said += chunk.length;
		});
		const goesOn = async (): Promise<void> => {
			const before = said;
			await expect.poll(() => said, { timeout: 20_000 }).toBeGreaterThan(before);
		};
		await goesOn();
		const freezer = cgroupFreezer(cgroup);
		const used = (): string =>
			readFileSync(`/proc/${child.pid}/stat`, "latin1").split(" ").slice(13, 15).join(" ");
		await freezer.freeze();
		const [before] = [used()];
		await new Promise((resolve) => setTimeout(resolve, 100));
		expect(used()).toBe(before);

		// Another one leaves it as it is: frozen.
		const other = cgroupFreezer(cgroup);
		await other.freeze();
		await other.thaw();
		expect(used()).toBe(before);

		await freezer.thaw();
		await goesOn();
	} finally {
		child.kill("SIGKILL");
		await ended;
		await expect.poll(() => removed(cgroup), { timeout: 20_000 }).toBe(true);
	}
});

function removed(cgroup: string): boolean {
	try {
		rmdirSync(cgroup);
	} catch {
		// The kernel has not let go of the process yet.
	}
	return !existsSync(cgroup);
}

it("refuses a directory that is no cgroup", () => {
	expect(() => cgroupFreezer("/tmp")).toThrow(/\/tmp is not a cgroup/);
});
