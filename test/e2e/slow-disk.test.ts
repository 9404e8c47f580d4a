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
	await store.create(id("there"));
	const delay = monitorEventLoopDelay({ resolution: 5 });
	delay.enable();
	const startMs = performance.now();
	let longestCallMs = 0;
	let isDone = false;
	const creates = Promise.all(Array.from({ length: CREATES }, (_, n) => store.create(id(`new-${n}`)))).then(
		() => {
			isDone = true;
		},
	);
	let calls = 0;
	while (!isDone) {
		const callMs = performance.now();
		store.get(id("there"));
		const name = id(`volatile-${calls++}`);
		await store.create(name, { durable: false });
		longestCallMs = Math.max(longestCallMs, performance.now() - callMs);
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
	await creates;
	const tookMs = performance.now() - startMs;
	delay.disable();
	// Nobody of those that need no flush waited for one, and the event loop stood for none.
	expect({ calls, longestCallMs, stoodMs: delay.max / 1e6 }).toMatchObject({
		longestCallMs: expect.toSatisfy((ms: number) => ms < FLUSH_MS / 2),
		stoodMs: expect.toSatisfy((ms: number) => ms < FLUSH_MS / 2),
	});
	expect(calls).toBeGreaterThan(10);
	// One after the other would be a flush each, at the least.
	expect(tookMs).toBeLessThan(CREATES * FLUSH_MS);
	expect(tookMs).toBeGreaterThan(FLUSH_MS);
});
