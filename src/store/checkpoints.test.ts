import { spawn } from "node:child_process";
import {
	chmodSync,
	chownSync,
	closeSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { unmountBelow } from "../../test/support/filesystems.ts";
import * as linux from "../linux/index.ts";
import type { LayerId, LayerStore } from "./contract.ts";
import { openLayerStore } from "./open-store.ts";

const id = (name: string): LayerId => name as LayerId;
let root: string;

beforeEach(() => {
	root = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});
afterEach(() => {
	unmountBelow(root);
	rmSync(root, { recursive: true, force: true });
});

/** A store with the committed layer `base`, which has the file `of-base`, and the writable layer `web` over it. */
async function makeStore(driver: "overlay" | "vfs" | "packed"): Promise<LayerStore> {
	const store = await openLayerStore({ root, driver });
	await store.create(id("making"));
	{
		await using mount = await store.mount(id("making"));
		writeFileSync(path.join(mount.path, "of-base"), "base");
	}
	await store.commit(id("making"), id("base"));
	await store.create(id("web"), { parent: id("base") });
	return store;
}

async function namesIn(store: LayerStore, layer: string): Promise<string[]> {
	await using mount = await store.mount(id(layer));
	return readdirSync(mount.path).sort();
}

const ids = (infos: readonly { id: LayerId }[]): string[] => infos.map((info) => info.id);

describe.each(["overlay", "packed", "vfs"] as const)("checkpoints (%s)", (driver) => {
	it("keeps the mapped owner of a layer's root directory: in its checkpoints, forks and after a rollback", async () => {
		await using store = await makeStore(driver);
		const map = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
		const idMaps = { uids: map, gids: map };
		await store.create(id("mapped"), { parent: id("base"), idMaps, idMappedBelow: true });
		const ownerOf = async (layer: string): Promise<number> => {
			await using mount = await store.mount(id(layer));
			return statSync(mount.path).uid;
		};
		// Of one that changed nothing, and of one that did.
		await store.fork(id("mapped"), [id("fork")]);
		await store.checkpoint(id("mapped"), { as: id("kept") });
		await store.fork(id("mapped"), [id("second")]);
		for (const layer of ["mapped", "fork", "kept", "second"])
			expect(await ownerOf(layer), layer).toBe(100_000);
		await store.rollback(id("mapped"));
		await store.squash(id("mapped"));
		for (const layer of ["mapped", "kept"]) expect(await ownerOf(layer), layer).toBe(100_000);
	});

	it("keeps what a layer has, and the layer goes on at the same path", async () => {
		await using store = await makeStore(driver);
		const mount = await store.mount(id("web"));
		writeFileSync(path.join(mount.path, "one"), "1");
		const first = await store.checkpoint(id("web"));
		expect(first).toMatchObject({ id: "web@1", kind: "committed", parent: "base" });
		expect(store.get(id("web"))).toMatchObject({ kind: "active", parent: "web@1", depth: 2 });
		writeFileSync(path.join(mount.path, "two"), "2");
		rmSync(path.join(mount.path, "of-base"));
		await store.checkpoint(id("web"), { as: id("second"), labels: { by: "hand" } });
		expect(readdirSync(mount.path).sort()).toEqual(["one", "two"]);
		await mount.unmount();
		expect(await namesIn(store, "web@1")).toEqual(["of-base", "one"]);
		expect(await namesIn(store, "second")).toEqual(["one", "two"]);
		expect(await namesIn(store, "web")).toEqual(["one", "two"]);
		expect(ids(store.history(id("web")))).toEqual(["second", "web@1"]);
		expect(store.get(id("second")).labels).toEqual({ by: "hand" });
	});

	it("goes back to the last checkpoint, or to an earlier one", async () => {
		await using store = await makeStore(driver);
		for (const name of ["one", "two", "three"]) {
			await using mount = await store.mount(id("web"));
			writeFileSync(path.join(mount.path, name), name);
			await mount.unmount();
			await store.checkpoint(id("web"));
		}
		{
			await using mount = await store.mount(id("web"));
			writeFileSync(path.join(mount.path, "late"), "");
		}
		await store.rollback(id("web"));
		expect(await namesIn(store, "web")).toEqual(["of-base", "one", "three", "two"]);
		await store.rollback(id("web"), { to: id("web@1") });
		expect(await namesIn(store, "web")).toEqual(["of-base", "one"]);
		expect(ids(store.history(id("web")))).toEqual(["web@1"]);
		// A number is not given twice.
		expect((await store.checkpoint(id("web"))).id).toBe("web@4");
		await expect(store.rollback(id("web"), { to: id("base") })).rejects.toMatchObject({ code: "ENOTFOUND" });
		await store.cleanup();
		expect(readdirSync(path.join(root, "layers"))).toHaveLength(4);
	});

	it("keeps by name what a rollback leaves, and what has a name or a fork", async () => {
		await using store = await makeStore(driver);
		await store.checkpoint(id("web"), { as: id("start") });
		for (const name of ["one", "two"]) {
			await using mount = await store.mount(id("web"));
			writeFileSync(path.join(mount.path, name), name);
			await mount.unmount();
			await store.checkpoint(id("web"), name === "one" ? { as: id("named") } : {});
		}
		await store.fork(id("web"), [id("fork")]);
		{
			await using mount = await store.mount(id("web"));
			writeFileSync(path.join(mount.path, "late"), "");
		}
		await store.rollback(id("web"), { to: id("start"), keep: id("kept") });
		expect(await namesIn(store, "web")).toEqual(["of-base"]);
		expect(await namesIn(store, "kept")).toEqual(["late", "of-base", "one", "two"]);
		expect(await namesIn(store, "fork")).toEqual(["of-base", "one", "two"]);
		expect(store.has(id("named"))).toBe(true);
	});

	it("forks where a layer is and where it was, without a checkpoint where nothing was changed", async () => {
		await using store = await makeStore(driver);
		const mount = await store.mount(id("web"));
		writeFileSync(path.join(mount.path, "one"), "1");
		const forks = await store.fork(
			id("web"),
			Array.from({ length: 5 }, (_, i) => id(`fork-${i}`)),
		);
		expect(forks.map(({ parent }) => parent)).toEqual(Array.from({ length: 5 }, () => "web@1"));
		await store.fork(id("web"), [id("again")], { labels: { a: "b" } });
		if (driver !== "vfs")
			expect(store.get(id("again"))).toMatchObject({ parent: "web@1", labels: { a: "b" } });
		writeFileSync(path.join(mount.path, "two"), "2");
		await store.fork(id("web"), [id("earlier")], { from: id("web@1") });
		expect(await namesIn(store, "earlier")).toEqual(["of-base", "one"]);
		await mount.unmount();
		await expect(store.remove(id("web@1"))).rejects.toMatchObject({ code: "EREFERENCED" });
	});

	it("removes with a layer the checkpoints that nobody needs, and with a fork those it alone needed", async () => {
		await using store = await makeStore(driver);
		for (const name of ["one", "two", "three"]) {
			await using mount = await store.mount(id("web"));
			writeFileSync(path.join(mount.path, name), "");
			await mount.unmount();
			await store.checkpoint(id("web"));
		}
		await store.fork(id("web"), [id("fork")], { from: id("web@2") });
		await store.remove(id("web"));
		expect(ids([...store.list()])).toEqual(["base", "fork", "web@1", "web@2"]);
		expect(await namesIn(store, "fork")).toEqual(["of-base", "one", "two"]);
		await store.remove(id("fork"));
		expect(ids([...store.list()])).toEqual(["base"]);
		await store.cleanup();
		expect(readdirSync(path.join(root, "layers"))).toHaveLength(1);
	});

	it("refuses what has nothing to keep, and names that are taken", async () => {
		await using store = await makeStore(driver);
		await store.create(id("view"), { parent: id("base"), kind: "view" });
		for (const layer of ["view", "base"]) {
			await expect(store.checkpoint(id(layer))).rejects.toMatchObject({ code: "EKIND" });
			await expect(store.rollback(id(layer))).rejects.toMatchObject({ code: "EKIND" });
		}
		await expect(store.checkpoint(id("web"), { as: id("base") })).rejects.toMatchObject({ code: "EEXISTS" });
		await expect(store.rollback(id("web"))).rejects.toMatchObject({ code: "ENOTFOUND" });
		await expect(store.checkpoint(id("none"))).rejects.toMatchObject({ code: "ENOTFOUND" });
	});
});

/** Writes and closes one file after the other, and says which once it is there; a refusal is tried again. */
const WRITER = `
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
const [directory, prefix] = process.argv.slice(1);
for (let n = 0; ; n++) {
	for (;;) {
		try {
			writeFileSync(directory + "/" + prefix + n, "content");
			break;
		} catch (error) {
			if (error.code !== "EROFS" && error.code !== "ENOENT") throw error;
		}
	}
	process.stdout.write(prefix + n + "\\n");
	await sleep(4);
}`;

describe("a mounted layer with writers", () => {
	it("has in a checkpoint every write that was acknowledged before it, and none that was begun after it", async () => {
		await using store = await makeStore("overlay");
		const mount = await store.mount(id("web"));
		const said: string[] = [];
		const writers = ["a", "b"].map((prefix) => {
			const writer = spawn(process.execPath, ["--input-type=module", "-e", WRITER, mount.path, prefix], {
				stdio: ["ignore", "pipe", "inherit"],
			});
			let rest = "";
			writer.stdout.on("data", (chunk: Buffer) => {
				const lines = (rest + chunk.toString()).split("\n");
				rest = lines.pop() ?? "";
				said.push(...lines);
			});
			return writer;
		});
		const ended = writers.map((writer) => new Promise((resolve) => writer.once("close", resolve)));
		try {
			await expect.poll(() => said.length, { timeout: 20_000 }).toBeGreaterThan(20);
			const seen: { checkpoint: LayerId; before: string[]; sealed: string; names: string[] }[] = [];
			for (let tries = 0; seen.length < 5 && tries < 2000; tries++) {
				const before = [...said];
				try {
					const { id: checkpoint, directory } = await store.checkpoint(id("web"));
					const sealed = path.join(directory, "diff");
					seen.push({ checkpoint, before, sealed, names: readdirSync(sealed) });
				} catch (error) {
					// A writer had its file open.
					expect(error).toMatchObject({ code: "EBUSY" });
				}
				await new Promise((resolve) => setTimeout(resolve, 5));
			}
			expect(seen).toHaveLength(5);
			for (const writer of writers) writer.kill("SIGKILL");
			await Promise.all(ended);
			let below: readonly string[] = [];
			for (const { checkpoint, before, sealed, names: atOnce } of seen) {
				// Nothing came into it since.
				expect(readdirSync(sealed)).toEqual(atOnce);
				const names = await namesIn(store, checkpoint);
				expect(before.filter((name) => !names.includes(name))).toEqual([]);
				// Whole, and never changed by what came later: each checkpoint has the files of the one below, and more.
				expect(below.filter((name) => !names.includes(name))).toEqual([]);
				below = names;
			}
			const all = await namesIn(store, "web");
			expect(said.filter((name) => !all.includes(name))).toEqual([]);
			for (const name of all.slice(0, 200)) {
				if (name !== "of-base") expect(readFileSync(path.join(mount.path, name), "utf8").length % 7).toBe(0);
			}
			await mount.unmount();
		} finally {
			for (const writer of writers) writer.kill("SIGKILL");
		}
	});
});

describe("a mounted layer", () => {
	it("is not sealed while a file is open for writing, and the error names who has it open", async () => {
		await using store = await makeStore("overlay");
		await using mount = await store.mount(id("web"));
		const fd = openSync(path.join(mount.path, "open"), "w");
		await expect(store.checkpoint(id("web"))).rejects.toThrow(
			new RegExp(`open for writing in .*: by \\S+ \\(pid ${process.pid}, /open\\)`),
		);
		await expect(store.rollback(id("web"))).rejects.toMatchObject({ code: "ENOTFOUND" });
		closeSync(fd);
		writeFileSync(path.join(mount.path, "open"), "written after the refusal");
		await store.checkpoint(id("web"));
		const again = openSync(path.join(mount.path, "open"), "a");
		await expect(store.rollback(id("web"))).rejects.toMatchObject({ code: "EBUSY" });
		closeSync(again);
		expect(
			readdirSync(path.join(root, "staging")).map((n) => readdirSync(path.join(root, "staging", n))),
		).toEqual([[]]);
	});

	it("is not sealed while something is mounted inside, or others have mounted it", async () => {
		await using store = await makeStore("overlay");
		const mount = await store.mount(id("web"));
		mkdirSync(path.join(mount.path, "proc"));
		linux.mount("/proc", path.join(mount.path, "proc"), null, linux.MS_BIND);
		await expect(store.checkpoint(id("web"))).rejects.toThrow(/mounted inside the layer, at .*\/proc/);
		linux.umount2(path.join(mount.path, "proc"));
		await mount.unmount();
		const [description] = await store.describeMounts(id("web"));
		const target = path.join(root, "../described");
		mkdirSync(target, { recursive: true });
		try {
			linux.mount("overlay", target, "overlay", 0, description?.options.join(",") ?? "");
			await expect(store.checkpoint(id("web"))).rejects.toThrow(/somebody else has mounted the layer, at/);
			linux.umount2(target);
		} finally {
			rmSync(target, { recursive: true });
		}
		await store.checkpoint(id("web"));
	});

	it("shows the new tree to who looks its path up, and the sealed one, read-only, to who was in it", async () => {
		await using store = await makeStore("overlay");
		await using mount = await store.mount(id("web"));
		const script = "echo ready; read line; ls; echo x > written 2>&1 || echo refused";
		const child = spawn("sh", ["-c", script], { cwd: mount.path, stdio: ["pipe", "pipe", "ignore"] });
		let said = "";
		child.stdout.on("data", (chunk: Buffer) => {
			said += chunk.toString();
		});
		await new Promise((resolve) => child.stdout.once("data", resolve));
		await store.checkpoint(id("web"));
		writeFileSync(path.join(mount.path, "later"), "");
		child.stdin.end("go\n");
		await new Promise((resolve) => child.once("close", resolve));
		expect(said).toMatch(/^ready\nof-base\n.*refused\n$/s);
		expect(await namesIn(store, "web@1")).toEqual(["of-base"]);
		expect(linux.readMountInfo().filter((each) => each.mountPoint.toString() === mount.path)).toHaveLength(1);
	});

	it("keeps the owner, mode and xattrs of its root directory", async () => {
		await using store = await makeStore("overlay");
		await using mount = await store.mount(id("web"));
		chownSync(mount.path, 12, 34);
		chmodSync(mount.path, 0o1770);
		const before = statSync(mount.path);
		await store.checkpoint(id("web"));
		const { mode, uid, gid, mtimeMs } = statSync(mount.path);
		expect({ mode, uid, gid, mtimeMs }).toEqual({
			mode: before.mode,
			uid: before.uid,
			gid: before.gid,
			mtimeMs: before.mtimeMs,
		});
	});

	it("is copied while its writers stand still, where they cannot close their files", async () => {
		await using store = await makeStore("overlay");
		await using mount = await store.mount(id("web"));
		const fd = openSync(path.join(mount.path, "open"), "w");
		writeFileSync(fd, "before");
		const calls: string[] = [];
		const live = {
			freeze: async () => void calls.push("freeze"),
			thaw: async () => void calls.push("thaw"),
		};
		expect(await store.checkpoint(id("web"), { live })).toMatchObject({ id: "web@1", parent: "base" });
		expect(calls).toEqual(["freeze", "thaw"]);
		writeFileSync(fd, " after");
		closeSync(fd);
		expect(store.get(id("web")).parent).toBe("base");
		await store.rollback(id("web"), { to: id("web@1") });
		expect(readFileSync(path.join(mount.path, "open"), "utf8")).toBe("before");
		await mount.unmount();
		await store.remove(id("web"));
		expect(ids([...store.list()])).toEqual(["base"]);
	});

	it("has its checkpoints in one when they are squashed, mounted or not", async () => {
		await using store = await makeStore("overlay");
		for (const isMounted of [true, false]) {
			await using mount = await store.mount(id("web"));
			for (const name of ["one", "two", "three"]) {
				writeFileSync(path.join(mount.path, `${name}-${isMounted}`), name);
				rmSync(path.join(mount.path, "of-base"), { force: true });
				await store.checkpoint(id("web"), name === "two" ? { as: id(`second-${isMounted}`) } : {});
			}
			writeFileSync(path.join(mount.path, "since"), "");
			if (!isMounted) await mount.unmount();
			const names = await namesIn(store, "web");
			const last = store.get(id("web")).parent;
			const squashed = await store.squash(id("web"));
			expect(squashed).toMatchObject({ id: last, parent: "base" });
			expect(await namesIn(store, "web")).toEqual(names);
			expect(await namesIn(store, squashed.id)).toEqual(
				isMounted ? names.filter((n) => n !== "since") : names,
			);
			expect(store.has(id(`second-${isMounted}`))).toBe(true);
		}
	});

	it("is squashed while it is mounted and has changes, where another layer stands on its last checkpoint", async () => {
		await using store = await makeStore("overlay");
		await using mount = await store.mount(id("web"));
		const add = (name: string): void => writeFileSync(path.join(mount.path, name), name);
		add("one");
		await store.checkpoint(id("web"));
		add("two");
		await store.fork(id("web"), [id("fork")]);
		add("three");
		const squashed = await store.squash(id("web"));
		add("four");
		expect(await namesIn(store, squashed.id)).toEqual(["of-base", "one", "two"]);
		expect(await namesIn(store, "web")).toEqual(["four", "of-base", "one", "three", "two"]);
		expect(await namesIn(store, "fork")).toEqual(["of-base", "one", "two"]);
		const names = ids(store.history(id("web")));
		expect(new Set(names).size).toBe(names.length);
	});

	it("has its holds after a checkpoint, and its mount point goes with the last", async () => {
		await using store = await makeStore("overlay");
		const one = await store.mount(id("web"));
		const two = await store.mount(id("web"));
		await store.checkpoint(id("web"));
		expect(store.get(id("web")).mountCount).toBe(2);
		expect(store.get(id("web@1")).mountCount).toBe(0);
		await one.unmount();
		expect(existsSync(path.join(two.path, "of-base"))).toBe(true);
		await two.unmount();
		expect(readdirSync(path.join(root, "mounts"))).toEqual([]);
		const { mountPoint } = store.get(id("web"));
		expect((await store.mount(id("web"))).path).toBe(mountPoint);
		await store.unmount(id("web"));
	});

	it("without a parent can be sealed, too", async () => {
		await using store = await makeStore("overlay");
		await store.create(id("alone"));
		await using mount = await store.mount(id("alone"));
		writeFileSync(path.join(mount.path, "file"), "content");
		await store.checkpoint(id("alone"));
		expect(readFileSync(path.join(mount.path, "file"), "utf8")).toBe("content");
	});
});
