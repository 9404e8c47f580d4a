/**
 * kill -9 at every step of a repair: afterwards the layer is whole, or damaged still and named. It never shows other content, the
 * next repair mends it, and nothing is left over.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { snapshotTree } from "../../src/layer/testing/snapshot-tree.ts";
import {
	CRASH_POINTS,
	type LayerId,
	type LayerStore,
	openLayerStore,
	parseLayerId,
} from "../../src/store/index.ts";
import { makeDirectory, mountsBelow, type TestFilesystem, unmountBelow } from "../support/filesystems.ts";
import { run } from "../support/processes.ts";

const child = new URL("../../dist/store/testing/repair-child.js", import.meta.url).pathname;
const LAYERS = ["bottom", "middle", "top"] as const;
const MIDDLE = parseLayerId("middle");
const TOP = parseLayerId("top");

let directory: TestFilesystem;
let tars: readonly string[];

beforeAll(() => {
	directory = makeDirectory();
	tars = LAYERS.map((name) => {
		const tree = path.join(directory.path, name);
		fs.mkdirSync(path.join(tree, "etc"), { recursive: true });
		fs.writeFileSync(path.join(tree, "etc", name), name.repeat(1000));
		fs.writeFileSync(path.join(tree, "etc/shared"), name);
		// Has content in pieces, so the layer has all its files.
		fs.writeFileSync(path.join(tree, "sparse"), name);
		fs.truncateSync(path.join(tree, "sparse"), 1 << 20);
		const tar = path.join(directory.path, `${name}.tar`);
		run("tar", ["-C", tree, "--sparse", "-cf", tar, "."]);
		return tar;
	});
});

afterAll(() => directory[Symbol.dispose]());

function repairInChild(root: string, at: string): NodeJS.Signals | null {
	const { signal, stderr } = spawnSync(process.execPath, [child, root, tars[1] ?? "", MIDDLE], {
		env: { ...process.env, LAMELLA_CRASH_POINT: at },
	});
	expect(stderr.toString()).toBe("");
	return signal;
}

async function contentOver(store: LayerStore, name: string, parent: LayerId): Promise<unknown> {
	await store.create(parseLayerId(name), { parent });
	try {
		await using mount = await store.mount(parseLayerId(name));
		return snapshotTree(mount.path);
	} finally {
		await store.remove(parseLayerId(name));
	}
}

async function expectNothingLeft(store: LayerStore, root: string): Promise<void> {
	await store.cleanup();
	// The directory of a damaged layer may be missing still.
	const recorded = [...store.list()].map(({ directory }) => directory).filter((each) => fs.existsSync(each));
	const names = recorded.map((each) => path.basename(each)).sort();
	expect(fs.readdirSync(path.join(root, "layers")).sort()).toEqual(names);
	expect(fs.readdirSync(path.join(root, "trash"))).toEqual([]);
	const staging = fs.readdirSync(path.join(root, "staging"));
	expect(staging.flatMap((owner) => fs.readdirSync(path.join(root, "staging", owner)))).toEqual([]);
	expect(staging).toHaveLength(1);
	expect(mountsBelow(root)).toEqual([]);
}

const remove = (file: string) => (layer: string) =>
	fs.rmSync(path.join(layer, file), { recursive: true, force: false });
const DAMAGES: readonly (readonly [string, (layer: string) => void])[] = [
	["tar is missing", remove("layer.tar")],
	["index is missing", remove("layer.index")],
	["written-out content is missing", remove("layer.data")],
	["tar was altered", (layer) => fs.appendFileSync(path.join(layer, "layer.tar"), "more")],
];
const ALL_POINTS = CRASH_POINTS.filter((point) => point.startsWith("repair:"));
const CASES = [
	...DAMAGES.flatMap(([what, damage]) =>
		[...ALL_POINTS, "repair:moved#2", "repair:moved#3"].map((at) => ({ what, damage, at })),
	),
	...ALL_POINTS.filter((point) => point !== "repair:moved").map((at) => ({
		what: "directory is missing",
		damage: remove(""),
		at,
	})),
];

describe("a repair that is killed", () => {
	it.each(CASES)("at $at, of a layer whose $what, leaves it whole or named", async ({ damage, at }) => {
		const root = path.join(directory.path, "store");
		try {
			let expected: unknown;
			{
				await using store = await openLayerStore({ root, driver: "packed" });
				let parent: LayerId | undefined;
				for (const [i, name] of LAYERS.entries()) {
					const tar = tars[i] ?? "";
					const source = { from: "range", path: tar, offset: 0, sizeBytes: fs.statSync(tar).size } as const;
					const id = parseLayerId(name);
					await store.applyLayer(id, { ...source, compression: "none" }, { parent });
					parent = id;
				}
				expected = await contentOver(store, "before", TOP);
				await contentOver(store, "before", MIDDLE);
				damage(store.get(MIDDLE).directory);
				expect(store.damaged(LAYERS.map(parseLayerId))).toEqual([MIDDLE]);
			}
			expect(repairInChild(root, at)).toBe("SIGKILL");
			{
				await using store = await openLayerStore({ root });
				await expectNothingLeft(store, root);
				const damaged = store.damaged(LAYERS.map(parseLayerId));
				if (damaged.length > 0) {
					expect(damaged).toEqual([MIDDLE]);
					const layer = path.basename(store.get(MIDDLE).directory);
					// Without its index the layer shows what it did, as long as the image that was made of it is there.
					const shown = await contentOver(store, "between", TOP).catch((error: Error) => error);
					if (shown instanceof Error) expect(shown.message).toMatch(new RegExp(`middle|/${layer}/`));
					else expect(shown).toEqual(expected);
				} else {
					expect(await contentOver(store, "between", TOP)).toEqual(expected);
				}
			}
			expect(repairInChild(root, "")).toBe(null);
			await using store = await openLayerStore({ root });
			expect(store.damaged(LAYERS.map(parseLayerId))).toEqual([]);
			expect((await store.check({ deep: true })).findings).toEqual([]);
			expect(await contentOver(store, "after", TOP)).toEqual(expected);
			await expectNothingLeft(store, root);
		} finally {
			unmountBelow(root);
			fs.rmSync(root, { recursive: true, force: true });
		}
	});
});
