/** What dockerd tells its administrator where lamella cannot keep layers on the data root's filesystem. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { Dockerd } from "../../support/dockerd.ts";
import { makeDirectory, makeFilesystem, mountsBelow } from "../../support/filesystems.ts";
import { LamellaPlugin } from "../../support/lamella-plugin.ts";
import { run } from "../../support/processes.ts";

/** What dockerd said before it ended by itself. */
async function refusal(driver: string, home: string): Promise<string> {
	let said: unknown;
	try {
		await using dockerd = await Dockerd.start({ driver, home, args: ["--experimental"] });
		said = `it started:\n${dockerd.log()}`;
	} catch (error) {
		said = error;
	}
	return String(said);
}

it("dockerd ends with the filesystem's name and the way out where overlay cannot work on it", async () => {
	using place = makeDirectory();
	const at = (name: string): string => path.join(place.path, name);
	for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(at(name));
	const options = `lowerdir=${at("lower")},upperdir=${at("upper")},workdir=${at("work")}`;
	run("mount", ["-t", "overlay", "overlay", at("merged"), "-o", options]);
	using untyped = makeFilesystem("ext4", 256 << 20, { mkfs: ["-O", "^filetype"] });
	await using plugin = await LamellaPlugin.start("lamella-refusals");
	const onOverlay = await refusal(plugin.name, path.join(at("merged"), "docker"));
	expect(onOverlay).toMatch(
		/ended while(?:.|\n)*EINCOMPATIBLEFS: overlay does not work on overlay .*lamella\.driver=vfs/,
	);
	const onUntyped = await refusal(plugin.name, path.join(untyped.path, "docker"));
	expect(onUntyped).toMatch(/EINCOMPATIBLEFS: overlay does not work on ext4 .*d_type .*ftype=1/);
	expect(mountsBelow(at("merged"))).toEqual([at("merged")]);
	await plugin.stop();
});
