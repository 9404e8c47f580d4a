/** The data root is removed, or another one is used, while the plugin runs on. */
import { rmSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { makeBusyboxTar } from "../../support/busybox-root.ts";
import { Dockerd } from "../../support/dockerd.ts";
import { makeDirectory } from "../../support/filesystems.ts";
import { LamellaPlugin } from "../../support/lamella-plugin.ts";

it("dockerd starts and runs containers on a data root that was removed, and on another one", async () => {
	using work = makeDirectory();
	const busybox = path.join(work.path, "busybox.tar");
	makeBusyboxTar(busybox);
	await using plugin = await LamellaPlugin.start("lamella-home");
	const use = async (home: string): Promise<string> => {
		await using dockerd = await Dockerd.start({ driver: plugin.name, home, args: ["--experimental"] });
		const images = dockerd.docker("images", "-q");
		await dockerd.dockerAsync("import", busybox, "bb:1");
		return images + (await dockerd.dockerAsync("run", "--rm", "--network", "none", "bb:1", "echo", "runs"));
	};
	const [first, second] = [path.join(work.path, "first"), path.join(work.path, "second")];
	expect(await use(first)).toBe("runs\n");
	rmSync(first, { recursive: true });
	expect(await use(first)).toBe("runs\n");
	rmSync(first, { recursive: true });
	expect(await use(second)).toBe("runs\n");
	expect(plugin.log()).not.toContain('"level":"error"');
});
