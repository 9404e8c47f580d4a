/** `id-maps = "copy"` with an image of some size: other calls go on meanwhile, and a kill in the middle leaves nothing. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeFilesystem, type TestFilesystem } from "../../support/filesystems.ts";
import { LamellaSnapshotter } from "../../support/lamella-snapshotter.ts";
import { run } from "../../support/processes.ts";
import { SnapshotsClient, withMounts } from "../../support/snapshots-client.ts";

const KILLS = process.env.LAMELLA_TEST_LONG === "1" ? 20 : 3;
const FILES = 20_000;
const MAPS = {
	"containerd.io/snapshot/uidmapping": "0:100000:65536",
	"containerd.io/snapshot/gidmapping": "0:100000:65536",
};

let filesystem: TestFilesystem;
let lamella: LamellaSnapshotter;
const at = (name: string): string => path.join(filesystem.path, name);

beforeAll(async () => {
	filesystem = makeFilesystem("ext4", 2 * 2 ** 30);
	writeFileSync(at("lamella.toml"), '[containerd]\nid-maps = "copy"\n');
	lamella = await LamellaSnapshotter.start(at("lamella"), ["--config", at("lamella.toml")]);
	using client = new SnapshotsClient(lamella.socket);
	const [mount] = await client.prepare("extract");
	for (let i = 0; i < FILES; i++) {
		const directory = path.join(mount?.source ?? "", String(i % 100));
		if (i < 100) mkdirSync(directory);
		writeFileSync(path.join(directory, String(i)), `content of ${i}`.repeat(100));
	}
	await client.commit("image", "extract");
});
afterAll(async () => {
	await lamella?.[Symbol.asyncDispose]();
	filesystem?.[Symbol.dispose]();
});

it("answers others while it copies", async () => {
	using client = new SnapshotsClient(lamella.socket);
	let copied = false;
	const startMs = performance.now();
	const copying = client.prepare("mapped", "image", MAPS).then(() => {
		copied = true;
	});
	let answers = 0;
	while (!copied) {
		await client.stat("image");
		answers++;
	}
	await copying;
	const tookMs = performance.now() - startMs;
	console.log(
		`copied ${FILES} files in ${Math.round(tookMs)} ms, with ${answers} other calls answered meanwhile`,
	);
	expect(answers).toBeGreaterThan(20);
	await client.remove("mapped");
});

it("leaves nothing behind when it is killed while it copies, and copies again", async () => {
	for (let round = 0; round < KILLS; round++) {
		using client = new SnapshotsClient(lamella.socket);
		const lost = client.prepare(`lost ${round}`, "image", MAPS).catch(() => undefined);
		// Each round at another moment of the copying.
		await new Promise((resolve) => setTimeout(resolve, 20 + round * (1500 / KILLS)));
		await lamella.restart("SIGKILL");
		await lost;
	}
	using client = new SnapshotsClient(lamella.socket);
	const mounts = await client.prepare("mapped", "image", MAPS);
	withMounts(mounts, at("root"), (root) => {
		expect(run("find", [root, "-type", "f", "-uid", "100000", "-printf", "x"]).stdout).toHaveLength(FILES);
		expect(run("find", [root, "!", "-uid", "100000"]).stdout).toBe("");
	});
	for (const name of await client.names("kind==active")) await client.remove(name);
	await client.cleanup();
	await client.remove("image");
	expect(await client.names()).toEqual([]);
	// What was removed is deleted in the background.
	const rest = (): string[] =>
		["layers", "trash"].flatMap((name) => readdirSync(path.join(lamella.root, name)));
	await expect.poll(rest, { timeout: 30_000 }).toEqual([]);
});
