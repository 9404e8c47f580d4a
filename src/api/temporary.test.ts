import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeDirectory, type TestFilesystem } from "../../test/support/filesystems.ts";
import { openStore, type Store } from "../index.ts";

const LIBRARY = new URL("../../dist/index.js", import.meta.url);

let directory: TestFilesystem;
let root: string;
let store: Store;

beforeAll(async () => {
	directory = makeDirectory("lamella-temporary-");
	root = path.join(directory.path, "root");
	store = await openStore({ root });
	await store.create("kept");
});

afterAll(async () => {
	await store?.close();
	directory[Symbol.dispose]();
});

/** Lines of another process with the store open, which is then killed. */
function inKilledProcess(lines: string): void {
	const program = `import { openStore } from ${JSON.stringify(LIBRARY)};
		const store = await openStore({ root: ${JSON.stringify(root)} });
		${lines}
		process.kill(process.pid, "SIGKILL");`;
	const { signal, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
		encoding: "utf8",
	});
	expect({ signal, stderr }).toEqual({ signal: "SIGKILL", stderr: "" });
}

it("takes away what a killed process had as temporary, and nothing else", async () => {
	inKilledProcess(`
		await store.create("gone", { temporary: true });
		await store.mount("gone");
		await store.create("stays");
		await store.mount("kept", { temporary: true });
		await store.mount("kept");`);
	await store.create("ours", { temporary: true });
	const mount = await store.mount("kept", { temporary: true });
	expect(store.layer("kept").mountCount).toBe(3);
	await store.cleanup();
	await store.cleanup();
	expect(store.layers().map(({ id }) => id)).toEqual(["kept", "ours", "stays"]);
	expect(store.layer("kept").mountCount).toBe(2);
	await mount.unmount();
	await mount.unmount();
	expect(store.layer("kept").mountCount).toBe(1);
	await store.unmount("kept");
	for (const name of ["ours", "stays"]) await store.remove(name);
});

it("sweeps what a driver's trial left when it was killed", async () => {
	const left = path.join(root, "staging/probe-killed");
	mkdirSync(path.join(left, "merged"), { recursive: true });
	await store.cleanup();
	expect(existsSync(left)).toBe(false);
});

it("gives back no hold of a layer that has only the name of the one that was held", async () => {
	inKilledProcess(`
		await store.create("again");
		await store.mount("again", { temporary: true });
		await store.remove("again", { force: true });`);
	await store.create("again");
	await using mount = await store.mount("again");
	await store.cleanup();
	expect(store.layer("again").mountCount).toBe(1);
	await mount.unmount();
	await store.remove("again");
});
