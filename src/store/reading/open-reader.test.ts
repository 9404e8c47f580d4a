import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { LayerId } from "../contract.ts";
import { openLayerStore } from "../open-store.ts";
import { openLayerReader } from "./open-reader.ts";

let root: string;
beforeEach(() => {
	root = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});
afterEach(() => {
	rmSync(root, { recursive: true, force: true });
});

const id = (name: string): LayerId => name as LayerId;

/** A store with the layer `web` in it, and the record `key`. */
async function makeStore(): Promise<void> {
	await using store = await openLayerStore({ root, driver: "vfs" });
	await store.create(id("web"));
	await store.records("notes").put("key", { text: "kept" });
}

function filesBelow(directory: string): string[] {
	return readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
}

it("shows what the whole store shows, also while that is open", async () => {
	await makeStore();
	await using store = await openLayerStore({ root });
	using reader = openLayerReader({ root });
	expect([...reader.list()]).toEqual([...store.list()]);
	expect(reader.get(id("web"))).toEqual(store.get(id("web")));
	expect(reader.chain(id("web"))).toEqual([]);
	expect(reader.records("notes").get("key")).toEqual({ text: "kept" });
	await store.create(id("later"));
	expect(reader.has(id("later"))).toBe(true);
});

it("leaves the state root as it was", async () => {
	await makeStore();
	const before = filesBelow(root);
	{
		using reader = openLayerReader({ root });
		expect([...reader.list()]).toHaveLength(1);
	}
	expect(filesBelow(root)).toEqual(before);
});

it("reads a root without a store as an empty one, and makes none", () => {
	for (const empty of [root, path.join(root, "missing")]) {
		using reader = openLayerReader({ root: empty });
		expect([...reader.list()]).toEqual([]);
		expect([...reader.records("notes").list()]).toEqual([]);
	}
	expect(existsSync(path.join(root, "missing"))).toBe(false);
	expect(filesBelow(root)).toEqual([]);
});

it("refuses what the whole store refuses, in the same words", async () => {
	const refusal = async (options: { driver?: "overlay" } = {}): Promise<unknown> => {
		const whole: unknown = await openLayerStore({ root, readOnly: true, ...options }).catch(
			(error: unknown) => error,
		);
		expect(() => openLayerReader({ root, ...options })).toThrow(whole as Error);
		return whole;
	};
	writeFileSync(path.join(root, "other"), "");
	expect(await refusal()).toMatchObject({ code: "ECONFIG" });
	rmSync(path.join(root, "other"));

	await makeStore();
	expect(await refusal({ driver: "overlay" })).toMatchObject({ code: "ECONFIG" });

	renameSync(path.join(root, "metadata"), path.join(root, "aside"));
	expect(await refusal()).toMatchObject({ code: "ECORRUPT" });
	mkdirSync(path.join(root, "metadata"));
	writeFileSync(path.join(root, "metadata/lamella.db"), "no database".repeat(100));
	expect(await refusal()).toMatchObject({ code: "ECORRUPT" });

	writeFileSync(path.join(root, "store.json"), `{"lamella":1}`);
	expect(await refusal()).toMatchObject({ code: "ECONFIG" });
});
