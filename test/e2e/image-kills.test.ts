/**
 * kill -9 of the command line at random moments while it imports, commits, flattens and removes a real image: the next
 * command recovers without help, what was committed before is unchanged, and nothing is left in staging or trash.
 */
import { spawn } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStore } from "../../src/index.ts";
import { snapshotTree } from "../../src/layer/testing/snapshot-tree.ts";
import { type DebianImage, debianImage } from "../support/debian-image.ts";
import { makeFilesystem, mountsBelow, type TestFilesystem } from "../support/filesystems.ts";
import { CLI, lamella, tryLamella } from "../support/lamella.ts";
import { expectSameTree } from "../support/same-tree.ts";

const ROUNDS = process.env.LAMELLA_TEST_LONG === undefined ? 8 : 50;

let image: DebianImage;
let filesystem: TestFilesystem;
/** Holds an image that must survive. */
let root: string;
/** Only ever imports: the layers of a form that is there already would be skipped. */
let empty: string;

beforeAll(async () => {
	image = await debianImage("small");
	filesystem = makeFilesystem("ext4", 12 * 2 ** 30);
	root = path.join(filesystem.path, "store");
	empty = path.join(filesystem.path, "empty");
}, 900_000);

afterAll(() => {
	filesystem?.[Symbol.dispose]();
});

/** Runs the command and kills it after that time; false where it had ended by itself. */
async function killed(store: string, args: readonly string[], afterMs: number): Promise<boolean> {
	const child = spawn(process.execPath, [CLI, "--root", store, ...args], { stdio: "ignore" });
	const timer = setTimeout(() => child.kill("SIGKILL"), afterMs);
	const signal = await new Promise<NodeJS.Signals | null>((resolve, reject) => {
		child.on("error", reject);
		child.on("exit", (_, by) => resolve(by));
	});
	clearTimeout(timer);
	return signal === "SIGKILL";
}

/** How long the command takes when it is left alone, so that kills fall within it. */
async function durationMs(store: string, args: readonly string[]): Promise<number> {
	const start = Date.now();
	expect(await killed(store, args, 600_000)).toBe(false);
	return Date.now() - start;
}

test(`${ROUNDS} kills of import, commit, flatten and remove lose nothing and leave nothing`, async () => {
	// What must survive: an image with a container that was changed and committed.
	const importMs = await durationMs(root, ["import", image.dockerArchive, "--name", "keep:base"]);
	lamella(root, "create", "kept", "keep:base");
	{
		await using store = await openStore({ root });
		await using mount = await store.mount("kept");
		rmSync(path.join(mount.path, "usr/share/perl"), { recursive: true, force: true });
	}
	const commitMs = await durationMs(root, ["commit", "kept", "keep:changed"]);
	const flattenMs = await durationMs(root, ["flatten", "keep:changed"]);
	const expected = await keptTree();

	let killedCommands = 0;
	for (let round = 0; round < ROUNDS; round += 1) {
		const scratch = `scratch${round}`;
		lamella(root, "create", scratch, "keep:base");
		const commands: readonly (readonly [string, readonly string[], number])[] = [
			[empty, ["import", image.dockerArchive, "--name", "scratch:image"], importMs],
			[root, ["commit", scratch, "scratch:commit"], commitMs],
			[root, ["flatten", "keep:base"], flattenMs],
			[root, ["rm", scratch], commitMs / 2],
			[empty, ["rmi", "scratch:image"], commitMs / 2],
		];
		const [store, args, ms] = commands[round % commands.length] ?? [root, [], 0];
		if (await killed(store, args, Math.random() * ms * 1.1)) killedCommands += 1;

		// The next command is all the recovery there is; afterwards what the killed one may have finished goes.
		lamella(store, "status");
		removeIfThere(root, "rm", scratch);
		removeIfThere(root, "rmi", "scratch:commit");
		if (round % commands.length !== 0) removeIfThere(empty, "rmi", "scratch:image");
		for (const each of [root, empty]) {
			lamella(each, "cleanup");
			expect(readdirSync(path.join(each, "staging"))).toEqual([]);
			expect(readdirSync(path.join(each, "trash"))).toEqual([]);
		}
		expect(mountsBelow(filesystem.path)).toEqual([filesystem.path]);
	}
	removeIfThere(empty, "rmi", "scratch:image");
	lamella(empty, "cleanup");
	expect(readdirSync(path.join(empty, "layers"))).toEqual([]);
	expect(killedCommands).toBeGreaterThan(ROUNDS / 4);
	expectSameTree(await keptTree(), expected);
}, 1_500_000);

function removeIfThere(store: string, command: "rm" | "rmi", name: string): void {
	const { code, stderr } = tryLamella(store, command, name);
	// 3: not found.
	expect([0, 3], stderr).toContain(code);
}

async function keptTree(): Promise<Record<string, unknown>> {
	await using store = await openStore({ root });
	const name = `probe-${Date.now()}`;
	await store.create(name, { from: "keep:changed", kind: "view" });
	try {
		await using mount = await store.mount(name);
		return snapshotTree(mount.path);
	} finally {
		await store.remove(name);
	}
}
