/**
 * Containers in user namespaces by Debian's containerd 1.6. It knows no capabilities of proxy plugins, so `ctr run` shifts
 * owners by itself, with and without telling the snapshotter the map; a client that tells it for an image's snapshot gets
 * a shifted copy through the same containerd.
 */
import { chmodSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Containerd } from "../../support/containerd.ts";
import { makeFilesystem, type TestFilesystem } from "../../support/filesystems.ts";
import { lamella as showLayers } from "../../support/lamella.ts";
import { LamellaSnapshotter, startContainerd } from "../../support/lamella-snapshotter.ts";
import { makeLayeredImage } from "../../support/layered-image.ts";
import { run } from "../../support/processes.ts";
import { SnapshotsClient, withMounts } from "../../support/snapshots-client.ts";

const IMAGE = "docker.io/library/userns:1";
const MAPS = {
	"containerd.io/snapshot/uidmapping": "0:100000:65536",
	"containerd.io/snapshot/gidmapping": "0:200000:65536",
};
const OPTIONS = ["--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536"];
const SHOW = "stat -c %u:%g / /bin/sh; echo mine > /new && stat -c %u:%g /new; cat /proc/self/uid_map";

let filesystem: TestFilesystem;
let lamella: LamellaSnapshotter;
let containerd: Containerd;
const at = (name: string): string => path.join(filesystem.path, name);

beforeAll(async () => {
	filesystem = makeFilesystem("ext4", 2 ** 30);
	// The container's root is nobody on the host, and has to get to its root filesystem.
	for (const directory of [path.dirname(filesystem.path), filesystem.path]) chmodSync(directory, 0o755);
	makeLayeredImage(at("image.tar"), { layers: 3, name: IMAGE });
	writeFileSync(at("lamella.toml"), '[containerd]\nid-maps = "copy"\n');
	lamella = await LamellaSnapshotter.start(at("lamella"), ["--config", at("lamella.toml")]);
	containerd = await startContainerd(at("containerd"), lamella);
	await containerd.ctr("images", "import", "--snapshotter", "lamella", at("image.tar"));
});
afterAll(async () => {
	await containerd?.[Symbol.asyncDispose]();
	await lamella?.[Symbol.asyncDispose]();
	filesystem?.[Symbol.dispose]();
});

describe("containerd in user namespaces", () => {
	it.each([
		["unaware of the map", []],
		["told the map", ["--remap-labels"]],
	] as const)("runs a container over a snapshot %s", async (name, more) => {
		const words = ["run", "--rm", "--snapshotter", "lamella", ...OPTIONS, ...more, IMAGE];
		const stdout = await containerd.ctr(...words, `u${more.length}`, "/bin/sh", "-c", SHOW);
		expect(stdout.trim().split(/\s*\n\s*/), name).toEqual(["0:0", "0:0", "0:0", "0     100000      65536"]);
	});

	it("gives a client that tells the map a copy, and garbage collection takes it all", async () => {
		using client = new SnapshotsClient(containerd.address);
		const labels = { ...MAPS, "containerd.io/gc.root": "kept" };
		const parent = await topOfImage(client);
		const mounts = await client.prepare("mapped", parent, labels);
		withMounts(mounts, at("mapped"), (root) => {
			const owners = run("stat", ["-c", "%u:%g", root, path.join(root, "bin/sh")]).stdout.split("\n");
			expect(owners.filter(Boolean)).toEqual(["100000:200000", "100000:200000"]);
			expect(run("find", [root, "!", "-uid", "100000"]).stdout).toBe("");
		});
		expect((await client.stat("mapped")).parent).toBe(parent);
		await client.remove("mapped");
		await containerd.ctr("images", "rm", "--sync", IMAGE);
		using direct = new SnapshotsClient(lamella.socket);
		// ctr's own shifted snapshots are nobody's, and go with the rest.
		await expect.poll(() => direct.names(), { timeout: 30_000 }).toEqual([]);
		expect(JSON.parse(showLayers(lamella.root, "layers", "--json"))).toEqual([]);
	});
});

/** The snapshot that all of the image's others are below. */
async function topOfImage(client: SnapshotsClient): Promise<string> {
	const infos = (await client.list()).filter(({ name }) => /^sha256:[0-9a-f]{64}$/.test(name));
	const top = infos.find(({ name }) => !infos.some(({ parent }) => parent === name));
	if (top === undefined) throw new Error("no image");
	return top.name;
}
