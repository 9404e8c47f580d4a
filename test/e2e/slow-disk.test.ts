/** A disk on which every flush takes long: what waits for one waits, and nothing else does. */
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
		await store.create(id(`volatile-${calls++}`), { durable: false });
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

async function msOf(work: () => Promise<unknown>): Promise<number> {
	const startMs = performance.now();
	await work();
	return performance.now() - startMs;
}
