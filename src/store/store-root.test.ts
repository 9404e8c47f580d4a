/** What concerns the state root as a whole: several processes, a lost or damaged database, ids, pipes. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseLayerId } from "./layer-id.ts";
import { openLayerStore } from "./open-store.ts";

const hammer = new URL("../../dist/store/testing/hammer-child.js", import.meta.url).pathname;
const id = parseLayerId;
let root: string;

beforeEach(() => {
	root = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});
afterEach(() => {
	rmSync(root, { recursive: true, force: true });
});

describe("a layer id", () => {
	it("refuses what could never be one, and takes containerd's keys", () => {
		for (const text of ["", ".", "..", "a\0b", "a\nb", "\ud800", "x".repeat(1025)]) {
			expect(() => parseLayerId(text)).toThrow(expect.objectContaining({ code: "EINVALID" }));
		}
		expect(parseLayerId("default/12/extract-1 sha256:ab")).toBe("default/12/extract-1 sha256:ab");
	});
});

describe("a state root", () => {
	it("keeps ids of any characters apart, in order, over a reopening", async () => {
		const ids = fc.sample(
			fc.string({ unit: "binary", minLength: 1, maxLength: 200 }).filter((text) => {
				try {
					parseLayerId(text);
					return true;
				} catch {
					return false;
				}
			}),
			12,
		);
		const unique = [...new Set([...ids, "a/b", "a", "a/", "../x", "~"])].map(parseLayerId);
		{
			await using store = await openLayerStore({ root });
			await Promise.all(unique.map((one) => store.create(one)));
		}
		await using store = await openLayerStore({ root });
		expect([...store.list()].map(({ id }) => id).sort()).toEqual([...unique].sort());
		expect(statSync(root).mode & 0o7).toBe(0);
	});

	for (const [how, damage] of [
		["garbage", (file: string) => writeFileSync(file, Buffer.alloc(100_000, 0x41))],
		["cut short", (file: string) => truncateSync(file, 8192)],
		["empty", (file: string) => truncateSync(file, 0)],
	] as const) {
		it(`rebuilds a database that is ${how}`, async () => {
			{
				await using store = await openLayerStore({ root });
				await store.create(id("web"), { labels: { a: "b" } });
				await store.records("things").put("k", { v: 1 });
			}
			damage(path.join(root, "metadata/data.mdb"));
			await using store = await openLayerStore({ root });
			expect(store.get(id("web"))).toMatchObject({ kind: "active", labels: { a: "b" } });
			expect(store.records("things").get("k")).toEqual({ v: 1 });
			expect(readdirSync(root).some((name) => name.startsWith("metadata.damaged-"))).toBe(true);
		});
	}

	it("tells of a layer whose directory is gone, and goes on with the rest", async () => {
		await using store = await openLayerStore({ root });
		await store.create(id("lost"));
		await store.create(id("kept"));
		rmSync(store.get(id("lost")).directory, { recursive: true });
		expect(store.status().details.map((pair) => pair.join(" "))).toContainEqual(
			expect.stringContaining('"lost"'),
		);
		await (await store.mount(id("kept"))).unmount();
		await store.remove(id("lost"));
		expect(store.has(id("lost"))).toBe(false);
	});

	it("is refused to another driver once it has layers", async () => {
		{
			await using store = await openLayerStore({ root, driver: "vfs" });
			await store.create(id("web"));
		}
		await expect(openLayerStore({ root, driver: "overlay" })).rejects.toMatchObject({ code: "ECONFIG" });
		await using store = await openLayerStore({ root });
		expect(store.status().driver).toBe("vfs");
	});

	it("is shared by several processes, whose counts agree", async () => {
		await using store = await openLayerStore({ root });
		await store.create(id("shared"));
		const held = await store.mount(id("shared"));
		const outcomes = await Promise.all(["p", "q"].map((name) => runHammer(name)));
		expect(outcomes).toEqual(["", ""]);
		expect(store.get(id("shared")).mountCount).toBe(1);
		expect([...store.list()].map(({ id }) => id)).toEqual(["p-kept", "q-kept", "shared"]);
		await held.unmount();
		expect(existsSync(path.join(store.get(id("shared")).directory, "merged"))).toBe(false);
		await store.cleanup();
		expect(readdirSync(path.join(root, "layers"))).toHaveLength(3);
	});
});

/** What the child has to complain about. */
async function runHammer(name: string): Promise<string> {
	const child = spawn(process.execPath, [hammer, root, name], { stdio: ["ignore", "inherit", "pipe"] });
	let errors = "";
	child.stderr.on("data", (chunk: Buffer) => {
		errors += chunk.toString();
	});
	const code = await new Promise((resolve) => child.once("close", resolve));
	return code === 0 ? errors : `${code}: ${errors}`;
}
