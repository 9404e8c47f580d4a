/**
 * A power cut at the worst moment of a removal that waited for no flush: the directory has just been moved, and somebody has
 * flushed that. A record that came back would be one of a layer without data.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { openLayerStore } from "../../src/store/index.ts";
import { VolatileDisk } from "../support/volatile-disk.ts";

const STORE = new URL("../../dist/store/index.js", import.meta.url).href;

const REMOVER = `
import { existsSync, fsyncSync, openSync, writeSync } from "node:fs";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { openLayerStore, parseLayerId as id } from "${STORE}";
const [root, control] = process.argv.slice(1);
const store = await openLayerStore({ root });
await store.create(id("key"));
const { directory } = await store.commit(id("key"), id("image"));
await store.usage(id("image"));
await store.cleanup();
await store.remove(id("image"), { durable: false });
while (existsSync(directory)) await setImmediate();
fsyncSync(openSync(path.dirname(directory), "r"));
writeSync(openSync(control, "r+"), "cut 1 all");
process.kill(process.pid, "SIGKILL");
`;

test.each(["ext4", "xfs"] as const)("on %s no record comes back whose directory is gone", async (type) => {
	await using disk = await VolatileDisk.make(type, 512 * 2 ** 20);
	const root = path.join(disk.path, "store");
	const remover = spawn(process.execPath, ["--input-type=module", "-e", REMOVER, root, disk.control], {
		stdio: ["ignore", "inherit", "inherit"],
	});
	await new Promise((resolve) => remover.once("exit", resolve));
	expect(disk.counts.isCut).toBe(true);
	await disk.restart();
	await using store = await openLayerStore({ root });
	expect([...store.list()].filter(({ directory }) => !existsSync(directory))).toEqual([]);
	expect(store.notices).toEqual([]);
});
