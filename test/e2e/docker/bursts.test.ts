/** Many containers at once through a real dockerd (LAMELLA_BURST sets how many; with LAMELLA_TEST_LONG 200). */
import { readdirSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { makeBusyboxTar } from "../../support/busybox-root.ts";
import { Dockerd } from "../../support/dockerd.ts";
import { makeDirectory, mountsBelow } from "../../support/filesystems.ts";
import { LamellaPlugin } from "../../support/lamella-plugin.ts";

const COUNT = Number(process.env.LAMELLA_BURST ?? (process.env.LAMELLA_TEST_LONG === undefined ? 40 : 200));
const AT_ONCE = 10;

it(`makes, starts and removes ${COUNT} containers in bursts, and nothing is left`, async () => {
	using work = makeDirectory("lamella-burst-");
	const tar = path.join(work.path, "busybox.tar");
	makeBusyboxTar(tar);
	await using plugin = await LamellaPlugin.start("lamella-burst");
	await using dockerd = await Dockerd.start({ driver: plugin.name, args: ["--experimental"] });
	await dockerd.dockerAsync("import", tar, "bb:1");
	const home = path.join(dockerd.root, plugin.name);
	const layers = (): number => readdirSync(path.join(home, "layers")).length;
	// What the import replaced goes in the background.
	await expect.poll(layers).toBe(1);
	const failures: string[] = [];
	let next = 0;
	const one = async (): Promise<void> => {
		while (next < COUNT) {
			const name = `burst-${next++}`;
			const script = `echo ${name} > /who; cat /who`;
			const steps = [
				["create", "--network", "none", "--name", name, "bb:1", "sh", "-c", script],
				["start", "-a", name],
				["rm", "-f", name],
			];
			for (const step of steps) {
				const { code, stdout, stderr } = await dockerd.tryDocker(...step);
				if (code !== 0) failures.push(`${step.join(" ")}: ${stderr}`);
				if (step[0] === "start" && stdout !== `${name}\n`) failures.push(`${name} said ${stdout}`);
			}
		}
	};
	await Promise.all(Array.from({ length: AT_ONCE }, one));
	expect(failures).toEqual([]);
	expect(mountsBelow(home)).toEqual([]);
	await expect.poll(layers).toBe(1);
	await expect.poll(() => readdirSync(path.join(home, "trash"))).toEqual([]);
	await dockerd.stop();
});
