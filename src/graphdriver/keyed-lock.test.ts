import { setImmediate as tick } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { KeyedLock } from "./keyed-lock.ts";

describe("KeyedLock", () => {
	it("runs one holder of a key at a time, in the order of asking", async () => {
		const lock = new KeyedLock();
		const log: string[] = [];
		const job = (name: string) =>
			lock.run(["a"], async () => {
				log.push(`${name} in`);
				await tick();
				log.push(`${name} out`);
			});
		await Promise.all([job("1"), job("2"), job("3")]);
		expect(log).toEqual(["1 in", "1 out", "2 in", "2 out", "3 in", "3 out"]);
	});

	it("does not deadlock where two take the same keys in different order", async () => {
		const lock = new KeyedLock();
		const both = (keys: string[]) => lock.run(keys, () => tick());
		await Promise.all(Array.from({ length: 50 }, (_, i) => both(i % 2 === 0 ? ["a", "b"] : ["b", "a"])));
	});

	it("gives the key back after a failure", async () => {
		const lock = new KeyedLock();
		await expect(lock.run(["a"], () => Promise.reject(new Error("no")))).rejects.toThrow("no");
		await expect(lock.run(["a"], () => Promise.resolve(1))).resolves.toBe(1);
	});
});
