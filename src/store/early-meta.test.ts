import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { FlushRequest } from "../layer/index.ts";
import { EarlyMeta } from "./early-meta.ts";
import { newGate } from "./gate.ts";
import { openLmdbMetaStore } from "./lmdb-meta-store.ts";
import type { MetaStore } from "./meta-store.ts";

let directory: string;
let inner: MetaStore;
let meta: EarlyMeta;
let flush: (request: FlushRequest) => Promise<unknown>;

beforeEach(() => {
	directory = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	inner = openLmdbMetaStore(directory);
	flush = () => Promise.resolve();
	meta = new EarlyMeta(inner, (request) => flush(request));
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
const flushing =
	(path: string): (() => FlushRequest) =>
	() => ({ trees: [], paths: [path] });
const inDatabase = (key: string): unknown => {
	inner.refresh();
	return inner.get("layers", key);
};

test("shows at once what is recorded later", async () => {
	const recorded = meta.early(["a"], put("a"));
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
	const removed = meta.early(["a"], (transaction) => transaction.remove("layers", "a"));
	expect(meta.get("layers", "a")).toBeUndefined();
	expect([...meta.entries("layers")]).toEqual([]);
	const again = meta.early(["a"], put("a", "again"));
	expect(meta.get("layers", "a")).toBe("again");
	await meta.recorded("a");
	await Promise.all([removed, again]);
	expect(inDatabase("a")).toBe("again");
});

test("flushes at once what several ask for, before any of it is recorded", async () => {
	const flushed: FlushRequest[] = [];
	flush = async (request) => {
		flushed.push(request);
		await sleep(20);
		expect(inDatabase("a")).toBeUndefined();
	};
	const all = ["a", "b"].map((id) =>
		meta.early([id], put(id), () => ({ trees: [`tree ${id}`], paths: [`file ${id}`, "directory"] })),
	);
	const none = meta.early(["c"], put("c"));
	await Promise.all([...all, none]);
	expect(flushed).toEqual([{ trees: ["tree a", "tree b"], paths: ["file a", "directory", "file b"] }]);
	expect(["a", "b", "c"].map(inDatabase)).toEqual(["a", "b", "c"]);
});

test("of several that are flushed together only that one fails that cannot be", async () => {
	flush = async ({ paths }) => {
		if (paths.includes("broken")) throw new Error("disk full");
	};
	const broken = meta.early(["a"], put("a"), flushing("broken"));
	const whole = meta.early(["b"], put("b"), flushing("whole"));
	const unprepared = meta.early(["c"], put("c"), () => {
		throw new Error("cannot be written");
	});
	await expect(broken).rejects.toThrow("disk full");
	await expect(unprepared).rejects.toThrow("cannot be written");
	await whole;
	expect(meta.get("layers", "a")).toBeUndefined();
	expect(meta.get("layers", "b")).toBe("b");
	expect(meta.get("layers", "c")).toBeUndefined();
	const refused = (): unknown =>
		meta.early(["d"], () => {
			throw new Error("refused");
		});
	expect(refused).toThrow("refused");
	expect(await meta.transaction((transaction) => transaction.get("layers", "b"))).toBe("b");
});

test("records in the order in which it was shown, whoever is flushed first", async () => {
	const gate = newGate();
	flush = ({ paths }) => (paths.includes("slow") ? gate.promise : Promise.resolve());
	const first = meta.early(["a"], put("a"), flushing("slow"));
	const begun = meta.recorded("a");
	const second = meta.early(["b"], (transaction) =>
		transaction.put("layers", "b", transaction.get("layers", "a")),
	);
	const third = meta.transaction((transaction) => transaction.get("layers", "b"));
	await sleep(20);
	expect(inDatabase("b")).toBeUndefined();
	gate.open();
	await Promise.all([first, begun, second]);
	expect(await third).toBe("a");
});

test("keeps the order over what is forgotten or fails in between", async () => {
	for (const between of ["forgotten", "failing"] as const) {
		const gate = newGate();
		flush = ({ paths }) => {
			if (paths.includes("broken")) return Promise.reject(new Error("broken"));
			return paths.includes("slow") ? gate.promise : Promise.resolve();
		};
		const first = meta.early([between], put(between, 1), flushing("slow"));
		const begun = meta.recorded(between);
		const broken = meta.early(["between"], put("between"), flushing("broken"));
		if (between === "forgotten") expect(meta.forget("between")).toBe(true);
		else void meta.recorded("between");
		const last = meta.early(["last"], (transaction) =>
			transaction.put("layers", "last", transaction.get("layers", between)),
		);
		await Promise.allSettled([broken]);
		setTimeout(gate.open, 300);
		await Promise.all([first, begun, last]);
		expect(inDatabase("last")).toBe(1);
		await meta.transaction((transaction) => transaction.remove("layers", "last"));
	}
});

test("a transaction does not wait for the moment to be over", async () => {
	const recorded = meta.early(["a"], put("a"));
	const startMs = performance.now();
	expect(await meta.transaction((transaction) => transaction.get("layers", "a"))).toBe("a");
	await recorded;
	expect(performance.now() - startMs).toBeLessThan(200);
});

test("forgets what nobody has begun to record", async () => {
	const recorded = meta.early(["a"], put("a"), () => {
		throw new Error("is not prepared either");
	});
	expect(meta.forget("a")).toBe(true);
	expect(meta.get("layers", "a")).toBeUndefined();
	await recorded;
	expect(inDatabase("a")).toBeUndefined();

	const begun = meta.early(["b"], put("b"));
	await meta.recorded("b");
	expect(meta.forget("b")).toBe(false);
	await begun;

	const written = meta.early(["c"], put("c"));
	const renamed = meta.early(["c", "d"], put("d"));
	expect(meta.forget("c")).toBe(false);
	await Promise.all([written, renamed]);
	expect(inDatabase("d")).toBe("d");
});
