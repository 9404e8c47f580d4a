import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EarlyMeta } from "./early-meta.ts";
import { openLmdbMetaStore } from "./lmdb-meta-store.ts";
import type { MetaStore } from "./meta-store.ts";

let directory: string;
let inner: MetaStore;
let meta: EarlyMeta;

beforeEach(() => {
	directory = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	inner = openLmdbMetaStore(directory);
	meta = new EarlyMeta(inner);
});

afterEach(async () => {
	await meta.close();
	rmSync(directory, { recursive: true, force: true });
});

const put =
	(key: string, value: unknown = key) =>
	(transaction: { put: MetaPut }) =>
		transaction.put("layers", key, value);
type MetaPut = (table: "layers", key: string, value: unknown) => void;
const nothing = (): Promise<void> => Promise.resolve();
const inDatabase = (key: string): unknown => {
	inner.refresh();
	return inner.get("layers", key);
};

test("shows at once what is recorded later", async () => {
	const recorded = meta.early(["a"], put("a"), { before: nothing, unhurried: true });
	expect(meta.get("layers", "a")).toBe("a");
	expect([...meta.entries("layers")]).toEqual([["a", "a"]]);
	expect(inDatabase("a")).toBeUndefined();
	expect(meta.isRecorded("a")).toBe(false);
	await recorded;
	expect(inDatabase("a")).toBe("a");
	expect(meta.isRecorded("a")).toBe(true);
});

test("shows removals, and the later of two writes", async () => {
	await meta.transaction(put("a"));
	const removed = meta.early(["a"], (transaction) => transaction.remove("layers", "a"), {
		before: nothing,
		unhurried: true,
	});
	expect(meta.get("layers", "a")).toBeUndefined();
	expect([...meta.entries("layers")]).toEqual([]);
	const again = meta.early(["a"], put("a", "again"), { before: nothing });
	expect(meta.get("layers", "a")).toBe("again");
	await meta.recorded("a");
	await Promise.all([removed, again]);
	expect(inDatabase("a")).toBe("again");
});

test("records in the order in which it was shown, whoever is ready first", async () => {
	let release: () => void = () => undefined;
	const held = new Promise<void>((resolve) => {
		release = resolve;
	});
	const first = meta.early(["a"], put("a"), { before: () => held });
	const second = meta.early(
		["b"],
		(transaction) => transaction.put("layers", "b", transaction.get("layers", "a")),
		{ before: nothing },
	);
	const third = meta.transaction((transaction) => transaction.get("layers", "b"));
	expect(inDatabase("b")).toBeUndefined();
	release();
	await Promise.all([first, second]);
	expect(await third).toBe("a");
});

test("keeps the order over what is forgotten or fails in between", async () => {
	for (const between of ["forgotten", "failing"] as const) {
		let release: () => void = () => undefined;
		const held = new Promise<void>((resolve) => {
			release = resolve;
		});
		const first = meta.early([between], put(between, 1), { before: () => held });
		const broken = meta.early(["between"], put("between"), {
			before: () => Promise.reject(new Error("broken")),
			unhurried: between === "forgotten",
		});
		if (between === "forgotten") expect(meta.forget("between")).toBe(true);
		const last = meta.early(
			["last"],
			(transaction) => transaction.put("layers", "last", transaction.get("layers", between)),
			{ before: nothing, unhurried: true },
		);
		await Promise.allSettled([broken, meta.recorded("none")]);
		setTimeout(release, 300);
		await Promise.all([first, last]);
		expect(inDatabase("last")).toBe(1);
		await meta.transaction((transaction) => transaction.remove("layers", "last"));
	}
});

test("a transaction does not wait for the moment to be over", async () => {
	const recorded = meta.early(["a"], put("a"), { before: nothing, unhurried: true });
	const startMs = performance.now();
	expect(await meta.transaction((transaction) => transaction.get("layers", "a"))).toBe("a");
	await recorded;
	expect(performance.now() - startMs).toBeLessThan(200);
});

test("shows nothing any more of what could not be recorded, and goes on", async () => {
	const failed = meta.early(["a"], put("a"), { before: () => Promise.reject(new Error("disk full")) });
	const next = meta.early(["b"], put("b"), { before: nothing });
	await expect(failed).rejects.toThrow("disk full");
	await next;
	expect(meta.get("layers", "a")).toBeUndefined();
	expect(meta.get("layers", "b")).toBe("b");
	const refused = (): unknown =>
		meta.early(
			["c"],
			() => {
				throw new Error("refused");
			},
			{ before: nothing },
		);
	expect(refused).toThrow("refused");
	expect(await meta.transaction((transaction) => transaction.get("layers", "b"))).toBe("b");
});

test("forgets what nobody has begun to record", async () => {
	const recorded = meta.early(["a"], put("a"), { before: nothing, unhurried: true });
	expect(meta.forget("a")).toBe(true);
	expect(meta.get("layers", "a")).toBeUndefined();
	await recorded;
	expect(inDatabase("a")).toBeUndefined();

	const begun = meta.early(["b"], put("b"), { before: nothing, unhurried: true });
	await meta.recorded("b");
	expect(meta.forget("b")).toBe(false);
	await begun;

	const written = meta.early(["c"], put("c"), { before: nothing, unhurried: true });
	const renamed = meta.early(["c", "d"], put("d"), { before: nothing, unhurried: true });
	expect(meta.forget("c")).toBe(false);
	await Promise.all([written, renamed]);
	expect(inDatabase("d")).toBe("d");
});
