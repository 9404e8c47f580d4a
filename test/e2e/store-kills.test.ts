/** kill -9 at every named step and at random moments: the next opening recovers, and nothing acknowledged is lost. */
import { execFileSync, spawn } from "node:child_process";
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CRASH_POINTS, type LayerStore, openLayerStore, parseLayerId } from "../../src/store/index.ts";
import { mountsBelow, unmountBelow } from "../support/filesystems.ts";

const child = new URL("../../dist/store/testing/kill-child.js", import.meta.url).pathname;
let base: string;
let tar: string;

beforeAll(() => {
	base = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	const tree = path.join(base, "tree");
	mkdirSync(path.join(tree, "etc"), { recursive: true });
	for (let i = 0; i < 50; i++) writeFileSync(path.join(tree, "etc", `file${i}`), "x".repeat(i * 100));
	tar = path.join(base, "layer.tar");
	execFileSync("tar", ["-C", tree, "-cf", tar, "."]);
});

afterAll(() => {
	rmSync(base, { recursive: true, force: true });
});

interface Outcome {
	readonly lines: readonly string[];
	readonly killed: boolean;
}

/** Runs the child; `afterMs` kills it at a moment, `at` at a step. */
async function run(
	root: string,
	policy: string,
	prefix: string,
	driver: string,
	{ at, afterMs }: { at?: string; afterMs?: number },
): Promise<Outcome> {
	const process_ = spawn(process.execPath, [child, root, tar, policy, prefix, driver], {
		env: { ...process.env, LAMELLA_CRASH_POINT: at ?? "" },
		stdio: ["ignore", "pipe", "pipe"],
	});
	const output = text(process_.stdout);
	const errors = text(process_.stderr);
	const timer = afterMs === undefined ? undefined : setTimeout(() => process_.kill("SIGKILL"), afterMs);
	const signal = await new Promise<NodeJS.Signals | null>((resolve) => {
		process_.once("close", (_code, signal) => resolve(signal));
	});
	clearTimeout(timer);
	expect(await errors).toBe("");
	return { lines: (await output).split("\n").slice(0, -1), killed: signal === "SIGKILL" };
}

/** Everything that was acknowledged is there, and nothing else is. */
async function check(store: LayerStore, root: string, lines: readonly string[]): Promise<void> {
	await store.cleanup();
	const expected = new Map<string, string>();
	const shown = new Map<string, readonly string[]>();
	for (const line of lines) {
		const [word, id = "", kind = "", next = kind] = line.split(" ");
		if (word === "have") expected.set(id, kind);
		if (word === "gone" || word === "perhaps") expected.delete(id);
		if (word === "shows") shown.set(id, [kind, next]);
		if (word === "record") expect(store.records("images").get(id)).toEqual({ layers: 3 });
		if (word === "labelled") expect(store.get(parseLayerId(id)).labels).toEqual({ by: id.split("/")[0] });
	}
	for (const [id, kind] of expected) {
		// What comes next may have happened without having been acknowledged.
		const next = { work: "done", quick: "quicker" }[id.split("/")[1] ?? ""];
		const there = store.has(parseLayerId(id));
		if (!there && next !== undefined) {
			const [prefix] = id.split("/");
			expect(store.get(parseLayerId(`${prefix}/${next}`)).kind).toBe("committed");
		} else if (!there && id.endsWith("/view")) {
			continue;
		} else {
			expect(store.get(parseLayerId(id)).kind).toBe(kind);
		}
		if (id.endsWith("/done")) await checkContent(store, id);
	}
	for (const [id, either] of shown) {
		await using mount = await store.mount(parseLayerId(id));
		const names = ["one", "two", "three"].filter((name) => existsSync(path.join(mount.path, name)));
		expect(either).toContain(names.join(","));
		// Nobody is left with a mount that cannot be written to.
		writeFileSync(path.join(mount.path, "probe"), "");
		rmSync(path.join(mount.path, "probe"));
	}
	const recorded = [...store.list()].map(({ directory }) => path.basename(directory)).sort();
	expect(readdirSync(path.join(root, "layers")).sort()).toEqual(recorded);
	expect(readdirSync(path.join(root, "trash"))).toEqual([]);
	const staging = readdirSync(path.join(root, "staging"));
	expect(staging).toHaveLength(1);
	expect(readdirSync(path.join(root, "staging", staging[0] ?? ""))).toEqual([]);
	expect(store.status().details.filter(([key]) => key === "Problem")).toEqual([]);
}

async function checkContent(store: LayerStore, id: string): Promise<void> {
	await using mount = await store.mount(parseLayerId(id));
	expect(readFileSync(path.join(mount.path, "written"), "utf8")).toBe(id.split("/")[0]);
	expect(readdirSync(path.join(mount.path, "etc"))).toHaveLength(50);
	expect(readFileSync(path.join(mount.path, "etc/file49"), "utf8")).toHaveLength(4900);
}

async function verifyAndRemove(root: string, lines: readonly string[]): Promise<void> {
	{
		await using store = await openLayerStore({ root });
		await check(store, root, lines);
	}
	// The database can be made again from what lies beside the layers.
	rmSync(path.join(root, "metadata"), { recursive: true });
	await using store = await openLayerStore({ root });
	await check(store, root, lines);
	for (const { id, depth } of [...store.list()].sort((a, b) => b.depth - a.depth)) {
		expect(depth).toBeGreaterThanOrEqual(0);
		// Checkpoints go with their layer.
		if (store.has(id)) await store.remove(id, { force: true });
	}
	await store.cleanup();
	expect(readdirSync(path.join(root, "layers"))).toEqual([]);
	expect(mountsBelow(root)).toEqual([]);
}

function tidy(root: string): void {
	unmountBelow(root);
	rmSync(root, { recursive: true, force: true });
}

describe.each(["packed", "overlay"])("a store (%s) whose process is killed", (driver) => {
	for (const point of [
		// Those of repairs are repair-kills.test.ts's.
		...CRASH_POINTS.filter((point) => !point.startsWith("repair:")),
		"create:renamed#4",
		...["frozen", "recorded", "swapped"].map((at) => `turn:${at}#4`),
	]) {
		it(`recovers at ${point}`, async () => {
			const root = path.join(base, "store");
			try {
				const policy = point === "commit:flattened" || point === "import:flattened" ? "always" : "auto";
				const { lines, killed } = await run(root, policy, "p", driver, { at: point });
				expect({ point, killed }).toEqual({ point, killed: true });
				await verifyAndRemove(root, lines);
			} finally {
				tidy(root);
			}
		});
	}
});

describe("a store of both drivers' layers whose processes are killed", () => {
	it("recovers from 50 kills at random moments in one store", async () => {
		const root = path.join(base, "store");
		const all: string[] = [];
		try {
			for (let round = 0; round < 50; round++) {
				const policy = round % 2 === 0 ? "auto" : "always";
				const driver = round % 3 === 0 ? "overlay" : "packed";
				const { lines } = await run(root, policy, `p${round}`, driver, {
					afterMs: 150 + Math.random() * 900,
				});
				all.push(...lines);
			}
			await verifyAndRemove(root, all);
		} finally {
			tidy(root);
		}
	});
});
