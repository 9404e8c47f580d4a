/**
 * Power cuts: a store on a disk that loses what was not flushed, cut in the middle of many operations. What was
 * acknowledged is there afterwards with exactly its content, and nothing is there by half.
 *
 * `LAMELLA_TEST_LONG=1` makes many more cuts. What fails says its seed; `LAMELLA_POWER_CUT_SEED` begins with that one.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Workplace } from "../../src/layer/testing/overlay-mount.ts";
import { snapshotTree } from "../../src/layer/testing/snapshot-tree.ts";
import { applyTar } from "../../src/layer/testing/tar-of.ts";
import { type LayerInfo, type LayerStore, openLayerStore, parseLayerId } from "../../src/store/index.ts";
import type { PowerCutLine } from "../../src/store/testing/power-cut-child.ts";
import { makeDirectory, type TestFilesystem } from "../support/filesystems.ts";
import { PowerCutModel, type Tree } from "../support/power-cut-model.ts";
import { differences } from "../support/same-tree.ts";
import { VolatileDisk } from "../support/volatile-disk.ts";

const childFile = new URL("../../dist/store/testing/power-cut-child.js", import.meta.url).pathname;
const isLong = process.env.LAMELLA_TEST_LONG === "1";
const firstSeed = Number(process.env.LAMELLA_POWER_CUT_SEED ?? Date.now() % 1_000_000);
const MIB = 2 ** 20;
const BOOT_ID = "/proc/sys/kernel/random/boot_id";
/** So long after its cut a process that notices nothing may go on. */
const AFTER_CUT_MS = 30;
/** Where the awaited does not come to pass. */
const LONGEST_MS = 4000;
const MOUNT_OPTIONS = ["", "noauto_da_alloc", "data=writeback,noauto_da_alloc", "commit=1"];

let place: TestFilesystem;
let base: string;
let tar: string;
let imported: Tree;

beforeAll(() => {
	place = makeDirectory("lamella-");
	base = place.path;
	const tree = path.join(base, "tree");
	mkdirSync(path.join(tree, "etc"), { recursive: true });
	for (let i = 0; i < 50; i++) writeFileSync(path.join(tree, "etc", `file${i}`), "x".repeat(i * 100));
	writeFileSync(path.join(tree, "large"), "large".repeat(100_000));
	tar = path.join(base, "layer.tar");
	execFileSync("tar", ["-C", tree, "-cf", tar, "."]);
	const directory = path.join(base, "applied");
	mkdirSync(directory);
	applyTar({ directory }, [readFileSync(tar)]);
	imported = treeOf(directory);
});

afterAll(() => place[Symbol.dispose]());

/** Where data lies may change as it is written back. A first mount gives the upper an id. */
function treeOf(directory: string): Tree {
	return snapshotTree(directory, {
		ignoreHoles: true,
		ignoreXattr: (name) => name === "trusted.overlay.uuid",
	});
}

/** What a layer holds, in its directory: a tree, or a tar. */
function contentOf(layer: string): Tree {
	const packed = path.join(layer, "layer.tar");
	if (!existsSync(packed)) return treeOf(path.join(layer, "diff"));
	const directory = mkdtempSync(path.join(base, "packed-"));
	try {
		applyTar({ directory }, [readFileSync(packed)]);
		return treeOf(directory);
	} finally {
		rmSync(directory, { recursive: true });
	}
}

/** When the disk is cut: so long after the store was opened, or after the `count`th acknowledgement of an operation. */
type Moment =
	| { readonly afterMs: number }
	| { readonly after: string; readonly count: number; readonly delayMs: number };

/** Of four cuts one comes at a moment of the parent's choice, the others right after something was acknowledged. */
function momentOf(seed: number): Moment {
	const delayMs = seed % 6;
	const turn = seed >> 2;
	switch (seed % 4) {
		case 0:
			// The hardest: what is committed was often made without a flush just before.
			return { after: "commit", count: 1 + ((turn * 7) % 20), delayMs };
		case 1:
			return { after: turn % 2 === 0 ? "remove" : "remove volatile", count: 2 + (turn % 9), delayMs };
		case 2:
			return { afterMs: 20 + ((seed * 7919) % 1500) };
		default: {
			const after = [
				"checkpoint",
				"rollback",
				"commit",
				"create",
				"create volatile",
				"apply",
				"labels",
				"remove",
				"remove volatile",
				"records",
			];
			return { after: after[turn % after.length] ?? "commit", count: 1 + (seed % 5), delayMs };
		}
	}
}

/** Every second time nobody else flushes what an operation leaves unflushed. */
function lanesOf(seed: number): number {
	return seed % 4 === 1 || seed % 8 === 4 ? 1 : 4;
}

/** Runs the child on the disk until the cut; the model has heard all of it afterwards. */
async function runUntilCut(
	disk: VolatileDisk,
	root: string,
	seed: number,
	model: PowerCutModel,
): Promise<void> {
	const moment = momentOf(seed);
	const own =
		"after" in moment ? [disk.control, seed, moment.after, moment.count, moment.delayMs].map(String) : [];
	// A boot of its own, as after a real cut, and mounts that go with the process.
	const bootId = path.join(base, "boot-id");
	writeFileSync(bootId, `00000000-0000-4000-8000-${String(seed).padStart(12, "0")}\n`);
	const args = [childFile, root, tar, `s${seed}`, String(seed), String(lanesOf(seed)), ...own];
	const script = `mount --bind "$0" ${BOOT_ID} && exec "$@"`;
	const child: ChildProcess = spawn(
		"unshare",
		["-m", "--propagation", "private", "sh", "-c", script, bootId, process.execPath, ...args],
		{ stdio: ["pipe", "pipe", "pipe"] },
	);
	let errors = "";
	let isCut = false;
	child.stderr?.on("data", (chunk: Buffer) => {
		errors += chunk.toString();
	});
	// It may be killed while it is told something.
	child.stdin?.on("error", () => undefined);
	const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
	const cut = (): void => {
		if (isCut) return;
		isCut = true;
		disk.cut(seed);
		setTimeout(() => child.kill("SIGKILL"), AFTER_CUT_MS);
	};
	const lines: string[] = [];
	const timers: NodeJS.Timeout[] = [];
	const hear = (text: string): void => {
		lines.push(text);
		const line = JSON.parse(text) as PowerCutLine;
		if (line.say === "cut") {
			isCut = true;
			timers.push(setTimeout(() => child.kill("SIGKILL"), AFTER_CUT_MS));
		}
		if (line.say === "open") timers.push(setTimeout(cut, "afterMs" in moment ? moment.afterMs : LONGEST_MS));
		model.hear(line, isCut || (line.say === "failed" && disk.counts.isCut));
		if (line.say === "edited" && !isCut) {
			try {
				model.looked(line.id, treeOf(line.directory));
			} catch (error) {
				// The disk was cut under it: then this is not committed any more.
				if (!disk.counts.isCut) throw error;
				return;
			}
			child.stdin?.write(`${line.id}\n`);
		}
	};
	if (child.stdout !== null) {
		let failure: unknown;
		createInterface({ input: child.stdout }).on("line", (text) => {
			try {
				hear(text);
			} catch (error) {
				failure ??= error;
				child.kill("SIGKILL");
			}
		});
		await ended;
		for (const timer of timers) clearTimeout(timer);
		if (failure !== undefined) throw failure;
	}
	if (process.env.LAMELLA_POWER_CUT_LOG !== undefined) {
		writeFileSync(process.env.LAMELLA_POWER_CUT_LOG, `${lines.join("\n")}\n`);
	}
	if (!disk.counts.isCut) throw new Error(`seed ${seed}: the child ended before the cut: ${errors}`);
}

/** Everything is there that has to be, and the store is well. */
async function checkRecovered(
	root: string,
	model: PowerCutModel,
	how: { readonly rebuilt?: boolean } = {},
): Promise<string[]> {
	const wrong: string[] = [];
	{
		await using store = await openLayerStore({ root, threads: 2 });
		wrong.push(...model.check(store, contentOf, how));
		for (const info of store.list()) wrong.push(...(await checkLayer(store, info)));
		for (const [key, text] of store.status().details) if (key === "Problem") wrong.push(`Problem: ${text}`);
		await tryAll(store);
	}
	wrong.push(...leftOvers(root));
	const before = stateOf(root);
	const listed = await listOf(root);
	const again = await listOf(root);
	if (JSON.stringify(listed) !== JSON.stringify(again)) wrong.push("opening it again changed the list");
	const after = stateOf(root);
	if (JSON.stringify(before) !== JSON.stringify(after)) {
		wrong.push(`opening it again changed ${JSON.stringify(before)} to ${JSON.stringify(after)}`);
	}
	wrong.push(...leftOvers(root));
	return wrong;
}

const isPacked = (layer: string): boolean => existsSync(path.join(layer, "layer.tar"));

/** A layer is whole: its chain is there; a packed one is what came in, and a flattened one shows what its chain makes. */
async function checkLayer(
	store: LayerStore,
	{ id, kind, directory, flattened }: LayerInfo,
): Promise<readonly string[]> {
	const all = [directory, ...store.chain(id).map((below) => below.directory)];
	const missing = all.filter((each) => !isPacked(each) && !existsSync(path.join(each, "diff")));
	if (missing.length > 0) return missing.map((each) => `${id}: ${each} is not there`);
	if (kind === "active" && !existsSync(path.join(directory, "work"))) return [`${id} has no work/`];
	if (isPacked(directory)) {
		const { findings } = await store.check({ layers: [id], deep: true });
		return findings.map(({ message }) => message);
	}
	if (!flattened) return [];
	using place = new Workplace();
	const lowers = all.filter((each) => !isPacked(each)).map((each) => path.join(each, "diff"));
	const tars = all.filter(isPacked).reverse();
	if (tars.length > 0) {
		const below = place.make("packed");
		for (const each of tars) applyTar({ directory: below }, [readFileSync(path.join(each, "layer.tar"))]);
		lowers.push(below);
	}
	await using mount = await store.mount(id);
	const differing = differences(treeOf(mount.path), treeOf(place.mount(lowers).merged));
	const isSame = Object.keys(differing).length === 0;
	return isSame ? [] : [`${id}: ${directory} shows another tree: ${JSON.stringify(differing, undefined, 1)}`];
}

function leftOvers(root: string): string[] {
	return ["staging", "trash"].flatMap((name) =>
		readdirSync(path.join(root, name)).map((n) => `left ${name}/${n}`),
	);
}

async function listOf(root: string): Promise<unknown[]> {
	await using store = await openLayerStore({ root, threads: 2 });
	// A count that was missing may be made up for at any time.
	return [...store.list()].map((info) => ({
		...info,
		usage: undefined,
		updatedAtNs: `${info.updatedAtNs}`,
		createdAtNs: `${info.createdAtNs}`,
	}));
}

function stateOf(root: string): unknown {
	return readdirSync(path.join(root, "layers")).map((n) => [
		n,
		readdirSync(path.join(root, "layers", n)).sort(),
	]);
}

/** All operations work. */
async function tryAll(store: LayerStore): Promise<void> {
	const id = parseLayerId("try/active");
	const name = parseLayerId("try/committed");
	const child = parseLayerId("try/child");
	const applied = parseLayerId("try/applied");
	const top = [...store.list()]
		.filter(({ kind }) => kind === "committed")
		.sort((a, b) => b.depth - a.depth)[0];
	for (const durable of [true, false]) {
		await store.create(id, { parent: top?.id, durable });
		{
			await using mount = await store.mount(id);
			writeFileSync(path.join(mount.path, "tried"), "tried");
		}
		await store.commit(id, name);
		await store.setLabels(name, { tried: "yes" });
		await store.create(child, { parent: name, durable });
		const source = {
			from: "range",
			path: tar,
			offset: 0,
			sizeBytes: readFileSync(tar).length,
			compression: "detect",
		} as const;
		await store.applyLayer(applied, source, { parent: name });
		await store.records("tried").put("some", {});
		await store.records("tried").remove("some");
		for (const each of [applied, child, name]) await store.remove(each);
	}
}

describe.each([
	{ type: "ext4", cuts: isLong ? 100 : 6, sizeMib: 256 },
	{ type: "xfs", cuts: isLong ? 20 : 2, sizeMib: 400 },
] as const)("a store on $type", ({ type, cuts, sizeMib }) => {
	test(`is whole after each of ${cuts} power cuts`, { timeout: 60_000 + cuts * 30_000 }, async () => {
		for (let seed = firstSeed; seed < firstSeed + cuts; ) {
			const optionsOf = (seed: number): string =>
				type === "ext4" ? (MOUNT_OPTIONS[(seed >> 1) % MOUNT_OPTIONS.length] ?? "") : "";
			const mountOptions = optionsOf(seed);
			await using disk = await VolatileDisk.make(type, sizeMib * MIB, { mountOptions });
			const root = path.join(disk.path, "store");
			const model = new PowerCutModel(imported);
			// Two cuts on the same store.
			const end = Math.min(seed + 2, firstSeed + cuts);
			for (; seed < end; seed++) {
				await runUntilCut(disk, root, seed, model);
				const cut = disk.counts;
				await disk.restart(optionsOf(seed));
				const wrong = await checkRecovered(root, model);
				const about = {
					type,
					seed,
					moment: momentOf(seed),
					loss: cut.lost + cut.kept,
					mountOptions: optionsOf(seed),
				};
				expect({ ...about, wrong }).toEqual({ ...about, wrong: [] });
			}
			// The database can be made again from what lies beside the layers.
			rmSync(path.join(root, "metadata"), { recursive: true });
			expect({ seed, rebuilt: await checkRecovered(root, model, { rebuilt: true }) }).toEqual({
				seed,
				rebuilt: [],
			});
		}
	});
});
