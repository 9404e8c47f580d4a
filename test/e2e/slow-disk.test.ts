/** A disk on which every flush takes long, or on which they are counted: what waits for one waits, and nothing else does. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { expect, test } from "vitest";
import { parseLayerId as id, openLayerStore } from "../../src/store/index.ts";
import { VolatileDisk } from "../support/volatile-disk.ts";

const MIB = 2 ** 20;
const FLUSH_MS = 200;
const CREATES = 12;

test("calls that need no flush go on while others wait for theirs, which are made together", async () => {
	await using disk = await VolatileDisk.make("ext4", 1024 * MIB, { flushDelayMs: FLUSH_MS });
	await using store = await openLayerStore({ root: path.join(disk.path, "store") });
	await store.create(id("first"));
	const aloneMs = await msOf(() => store.create(id("there")));
	const delay = monitorEventLoopDelay({ resolution: 5 });
	delay.enable();
	const startMs = performance.now();
	let tookMs = 0;
	const creates = Promise.all(Array.from({ length: CREATES }, (_, n) => store.create(id(`new-${n}`)))).then(
		() => {
			tookMs = performance.now() - startMs;
		},
	);
	let calls = 0;
	while (tookMs === 0) {
		expect(store.get(id("there")).kind).toBe("active");
		const volatile = id(`volatile-${calls++}`);
		await store.create(volatile, { durable: false });
		await store.remove(volatile, { durable: false });
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
	await creates;
	delay.disable();
	// The thread stood for no flush.
	expect(delay.max / 1e6).toBeLessThan(FLUSH_MS);
	expect(calls).toBeGreaterThan(10);
	expect(tookMs).toBeGreaterThan(FLUSH_MS);
	expect(tookMs).toBeLessThan((CREATES * aloneMs) / 2);
});

test.each([
	// Two fewer where the log and the directory come into one commit of the journal, which is a matter of moments.
	["ext4", 6, 8],
	["xfs", 6, 6],
] as const)(
	"on %s what is made and removed without a flush takes none, a commit %i, and one of many files %i",
	async (type, most, mostOfMany) => {
		await using disk = await VolatileDisk.make(type, 1024 * MIB);
		await using store = await openLayerStore({ root: path.join(disk.path, "store") });
		const flushesOf = async (work: () => Promise<unknown>): Promise<number> => {
			const before = disk.counts.flushes;
			await work();
			return disk.counts.flushes - before;
		};
		const none: number[] = [];
		const some: number[] = [];
		const many: number[] = [];
		for (let n = 0; n < 8; n++) {
			const removed = id(`removed-${n}`);
			const made = id(`made-${n}`);
			none.push(
				await flushesOf(async () => {
					await store.create(removed, { durable: false });
					await store.remove(removed, { durable: false });
					await store.create(made, { durable: false });
				}),
			);
			some.push(await flushesOf(() => store.commit(made, id(`committed-${n}`))));
			const large = id(`large-${n}`);
			await store.create(large, { durable: false });
			const { upper = "" } = store.paths(large);
			for (let file = 0; file < 20; file++) writeFileSync(path.join(upper, String(file)), "content");
			many.push(await flushesOf(() => store.commit(large, id(`committed-large-${n}`))));
			// What is removed and counted in the background flushes, too.
			await store.cleanup();
		}
		// At some moments the filesystem has something of its own to flush, or the database's log grows.
		expect(Math.min(...none)).toBe(0);
		expect(Math.min(...some)).toBeLessThanOrEqual(most);
		expect(Math.min(...many)).toBeLessThanOrEqual(mostOfMany);
	},
);

async function msOf(work: () => Promise<unknown>): Promise<number> {
	const startMs = performance.now();
	await work();
	return performance.now() - startMs;
}
