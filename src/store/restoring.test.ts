/**
 * What a power cut leaves of a commit that was promised: here the process is killed with its promise made, and then what
 * was not flushed is taken away by hand. (test/e2e/power-cut does it with a disk that forgets.)
 */
import { execFileSync } from "node:child_process";
import {
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as linux from "../linux/index.ts";
import { type LayerStore, openLayerStore, parseLayerId } from "./index.ts";

const STORE = new URL("../../dist/store/index.js", import.meta.url).href;
const id = parseLayerId;
let home: string;
let root: string;
const mounted: string[] = [];

beforeEach(() => {
	home = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	root = path.join(home, "store");
});

afterEach(() => {
	for (const target of mounted.splice(0)) linux.umount2(target, linux.MNT_DETACH);
	rmSync(home, { recursive: true, force: true });
});

/** A process that commits `key` as `name`, and dies when that is promised. */
function promiseAndDie({ slow = false }: { readonly slow?: boolean } = {}): void {
	const script = `
		import { mkdirSync, writeFileSync } from "node:fs";
		import { openLayerStore, parseLayerId as id } from ${JSON.stringify(STORE)};
		const store = await openLayerStore({ root: ${JSON.stringify(root)} });
		await store.create(id("base-key"));
		await store.commit(id("base-key"), id("base"));
		const { directory } = await store.create(id("key"), { parent: id("base"), early: true });
		mkdirSync(directory + "/diff/etc");
		writeFileSync(directory + "/diff/etc/motd", "hello", { mode: 0o640 });
		if (${slow}) await new Promise((resolve) => setTimeout(resolve, 600));
		await store.commit(id("key"), id("name"), { labels: { a: "b" }, early: true });
	`;
	try {
		execFileSync(process.execPath, ["--input-type=module", "-e", script], {
			env: { ...process.env, LAMELLA_CRASH_POINT: "commit:promised" },
			stdio: ["ignore", "pipe", "pipe"],
		});
	} catch (error) {
		if ((error as { signal?: unknown }).signal === "SIGKILL") return;
		throw error;
	}
	throw new Error("it was not killed");
}

/** The directory of the layer that is not the base. */
function directoryOfKey(): string {
	const layers = readdirSync(path.join(root, "layers")).map((n) => path.join(root, "layers", n));
	const found = layers.find((layer) => JSON.parse(readFileSync(`${layer}/layer.json`, "utf8")).id === "key");
	if (found === undefined) throw new Error("there is no such layer");
	return found;
}

async function verify(store: LayerStore): Promise<void> {
	const layer = store.get(id("name"));
	expect(layer).toMatchObject({ kind: "committed", parent: "base", labels: { a: "b" } });
	expect(store.has(id("key"))).toBe(false);
	const motd = path.join(layer.directory, "diff/etc/motd");
	expect(readFileSync(motd, "utf8")).toBe("hello");
	expect(statSync(motd).mode & 0o777).toBe(0o640);
	expect(store.status().details.filter(([name]) => name === "Problem")).toEqual([]);
	expect((await store.usage(id("name"))).inodes).toBe(3);
	await store.create(id("over"), { parent: id("name") });
	await store.remove(id("over"));
}

const DAMAGES: readonly (readonly [what: string, damage: (directory: string) => void])[] = [
	["nothing", () => undefined],
	["the whole directory", (directory) => rmSync(directory, { recursive: true })],
	["a file's content", (directory) => truncateSync(path.join(directory, "diff/etc/motd"), 0)],
	["what is in the directory", (directory) => rmSync(path.join(directory, "diff/etc"), { recursive: true })],
	["the directory's sidecar", (directory) => writeFileSync(path.join(directory, "layer.json"), "")],
];

for (const [what, damage] of DAMAGES) {
	for (const slow of [false, true]) {
		const when = slow ? "long before" : "a moment before";
		test(`keeps a promised commit of a layer that was made ${when}, where ${what} is lost`, async () => {
			promiseAndDie({ slow });
			damage(directoryOfKey());
			for (let opening = 0; opening < 2; opening++) {
				await using store = await openLayerStore({ root });
				await verify(store);
			}
			expect(readdirSync(path.join(root, "staging"))).toEqual([]);
			expect(readdirSync(path.join(root, "trash"))).toEqual([]);
		});
	}
}

test("leaves a layer alone that somebody looks at, though it is not what was promised", async () => {
	promiseAndDie();
	const directory = directoryOfKey();
	const target = path.join(home, "mounted");
	mkdirSync(target);
	const lowers = `lowerdir=${directory}/diff:${directory}/work`;
	linux.mount("overlay", target, "overlay", linux.MS_RDONLY, lowers);
	mounted.push(target);
	writeFileSync(path.join(directory, "diff/later"), "later");
	await using store = await openLayerStore({ root });
	expect(store.get(id("name")).directory).toBe(directory);
	expect(readFileSync(path.join(directory, "diff/later"), "utf8")).toBe("later");
});

test("does not bring a layer back that was removed after its commit was recorded", async () => {
	const script = `
		import { openLayerStore, parseLayerId as id } from ${JSON.stringify(STORE)};
		const store = await openLayerStore({ root: ${JSON.stringify(root)} });
		await store.create(id("key"), { early: true });
		await store.commit(id("key"), id("name"), { early: true });
		await store.remove(id("name"));
		process.kill(process.pid, "SIGKILL");
		await new Promise((resolve) => setTimeout(resolve, 1000));
	`;
	expect(() => execFileSync(process.execPath, ["--input-type=module", "-e", script])).toThrow();
	await using store = await openLayerStore({ root });
	expect([...store.list()]).toEqual([]);
	expect(readdirSync(path.join(root, "layers"))).toEqual([]);
});
