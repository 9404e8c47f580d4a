import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lmdbFileProblem } from "./lmdb-file.ts";
import { openLmdbMetaStore } from "./lmdb-meta-store.ts";

let directory: string;

beforeEach(() => {
	directory = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});
afterEach(() => {
	rmSync(directory, { recursive: true, force: true });
});

describe("the metadata store", () => {
	it("keeps what was committed, and nothing of a transaction that threw beside others", async () => {
		await using meta = openLmdbMetaStore(directory);
		const outcomes = await Promise.allSettled([
			meta.transaction((tx) => tx.put("facts", "a", 1)),
			meta.transaction((tx) => {
				tx.put("facts", "b", 1);
				throw new Error("no");
			}),
			meta.transaction((tx) => tx.put("facts", "c", [tx.get("facts", "a"), tx.get("facts", "b") ?? null])),
		]);
		expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
		expect([...meta.entries("facts")]).toEqual([
			["a", 1],
			["c", [1, null]],
		]);
	});

	it("lists by prefix, within a transaction with its own writes", async () => {
		await using meta = openLmdbMetaStore(directory);
		await meta.transaction((tx) => {
			for (const key of ["a/1", "a/2", "a", "b/1", "a0"]) tx.put("children", key, key);
		});
		expect([...meta.entries("children", "a/")].map(([key]) => key)).toEqual(["a/1", "a/2"]);
		const seen = await meta.transaction((tx) => {
			tx.remove("children", "a/1");
			tx.put("children", "a/10", "x");
			return [...tx.entries("children", "a/")].map(([key]) => key);
		});
		expect(seen).toEqual(["a/10", "a/2"]);
	});

	it("is found sound while it grows and shrinks, and damaged wherever a page that counts is", async () => {
		const file = path.join(directory, "data.mdb");
		{
			await using meta = openLmdbMetaStore(directory);
			for (let round = 0; round < 12; round++) {
				await meta.transaction((tx) => {
					for (let n = 0; n < 300; n++) {
						const key = `${(n * 7919 + round * 31) % 1500}`;
						if (n % 3 === round % 3) tx.remove("layers", key);
						else tx.put("layers", key, { value: "x".repeat((n * 37) % 6000) });
					}
				});
				expect(lmdbFileProblem(file, { headsOnly: false })).toBeUndefined();
			}
		}
		const sound = readFileSync(file);
		for (const sizeBytes of [0, 100, 4096, 8192, 5000, Math.floor(sound.length / 2)]) {
			writeFileSync(file, sound.subarray(0, sizeBytes));
			expect(lmdbFileProblem(file, { headsOnly: false })).toBeTypeOf("string");
		}
		const zeroed = Buffer.from(sound);
		zeroed.fill(0, 8192);
		writeFileSync(file, zeroed);
		expect(lmdbFileProblem(file, { headsOnly: false })).toMatch(/is damaged/);
	});
});
