/** What concerns the state root as a whole: several processes, a lost or damaged database, ids, pipes. */
import { execFileSync, spawn } from "node:child_process";
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeFilesystem } from "../../test/support/filesystems.ts";
import { parseLayerId } from "./layer-id.ts";
import { openLayerStore } from "./open-store.ts";

const hammer = new URL("../../dist/store/testing/hammer-child.js", import.meta.url).pathname;
const id = parseLayerId;
const MIB = 2 ** 20;
let root: string;

beforeEach(() => {
	root = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});
afterEach(() => {
	rmSync(root, { recursive: true, force: true });
});

describe("a layer id", () => {
	it("refuses what could never be one, and takes containerd's keys", () => {
		for (const text of ["", ".", "..", "a\0b", "\ud800", "x".repeat(32 * 1024 + 1)]) {
			expect(() => parseLayerId(text)).toThrow(expect.objectContaining({ code: "EINVALID" }));
		}
		expect(parseLayerId("default/12/extract-1 sha256:ab")).toBe("default/12/extract-1 sha256:ab");
	});
});

describe("a state root", () => {
	it("of packed layers that was moved to where they cannot be mounted still gives them out and removes them", async () => {
		using disk = makeFilesystem("ext4", 64 * MIB);
		using memory = makeFilesystem("tmpfs", 64 * MIB);
		const tar = new Uint8Array(1024);
		{
			await using store = await openLayerStore({ root: disk.path, driver: "packed" });
			await store.applyLayer(id("packed"), Readable.from([tar]));
		}
		execFileSync("cp", ["-a", `${disk.path}/.`, memory.path]);
		await using store = await openLayerStore({ root: memory.path });
		const { driver, details } = store.status();
		expect(driver).toBe("overlay");
		expect(Object.fromEntries(details)["Not packed because"]).toContain("ENOTBLK");
		await expect(store.create(id("over"), { parent: id("packed") })).rejects.toMatchObject({
			code: "ENOTSUPPORTED",
			message: expect.stringContaining("Move the store"),
		});
		expect(await buffer(store.diff(id("packed")).stream)).toEqual(Buffer.from(tar));
		expect(await store.check({ deep: true })).toMatchObject({ findings: [] });
		await store.remove(id("packed"));
	});

	it("whose packed layers were exchanged tells so, and gives out neither for the other", async () => {
		using disk = makeFilesystem("ext4", 64 * MIB);
		const directories: string[] = [];
		{
			await using store = await openLayerStore({ root: disk.path, driver: "packed" });
			for (const [name, blocks] of [
				["one", 2],
				["other", 4],
			] as const) {
				const layer = await store.applyLayer(id(name), Readable.from([new Uint8Array(512 * blocks)]));
				directories.push(layer.directory);
			}
		}
		const [one = "", other = ""] = directories;
		for (const file of ["layer.tar", "layer.index"]) {
			renameSync(path.join(one, file), path.join(disk.path, "aside"));
			renameSync(path.join(other, file), path.join(one, file));
			renameSync(path.join(disk.path, "aside"), path.join(other, file));
		}
		await using store = await openLayerStore({ root: disk.path });
		const told = {
			code: "ECORRUPT",
			message: expect.stringContaining('layer.tar" is the tar of another layer'),
		};
		for (const name of [id("one"), id("other")]) {
			await expect(buffer(store.diff(name).stream)).rejects.toMatchObject(told);
			await expect(store.mount(name)).rejects.toMatchObject(told);
			expect(() => store.keptTar(name)).toThrow("the tar of another layer");
			expect(await store.check({ layers: [name] })).toMatchObject({
				findings: [{ kind: "content-damaged", message: expect.stringContaining("the tar of another layer") }],
			});
			await store.remove(name);
		}
	});

	it("keeps ids of any characters apart, in order, over a reopening", async () => {
		const ids = fc.sample(
			fc.string({ unit: "binary", minLength: 1, maxLength: 200 }).filter((text) => {
				try {
					parseLayerId(text);
					return true;
				} catch {
					return false;
				}
			}),
			12,
		);
		const unique = [...new Set([...ids, "a/b", "a", "a/", "../x", "~"])].map(parseLayerId);
		{
			await using store = await openLayerStore({ root });
			await Promise.all(unique.map((one) => store.create(one)));
		}
		await using store = await openLayerStore({ root });
		expect([...store.list()].map(({ id }) => id).sort()).toEqual([...unique].sort());
		expect(statSync(root).mode & 0o7).toBe(0);
	});

	for (const [how, damage] of [
		["garbage", (file: string) => writeFileSync(file, Buffer.alloc(100_000, 0x41))],
		["cut short", (file: string) => truncateSync(file, 8192)],
		["zero in places", (file: string) => writeFileSync(file, readFileSync(file).fill(0, 4096, 3 * 4096))],
		["empty", (file: string) => truncateSync(file, 0)],
	] as const) {
		it(`rebuilds a database that is ${how}`, async () => {
			{
				await using store = await openLayerStore({ root });
				await store.create(id("web"), { labels: { a: "b" } });
				await store.records("things").put("k", { v: 1 });
			}
			damage(path.join(root, "metadata/lamella.db"));
			await using store = await openLayerStore({ root });
			expect(store.get(id("web"))).toMatchObject({ kind: "active", labels: { a: "b" } });
			expect(store.records("things").get("k")).toEqual({ v: 1 });
			expect(readdirSync(root).some((name) => name.startsWith("metadata.damaged-"))).toBe(true);
		});
	}

	it("is not made in a directory that has other things in it, and nothing in there is touched", async () => {
		for (const name of ["staging", "trash", "layers"])
			mkdirSync(path.join(root, name, "mine"), { recursive: true });
		for (const readOnly of [true, false]) {
			await expect(openLayerStore({ root, readOnly })).rejects.toMatchObject({
				code: "ECONFIG",
				message: expect.stringMatching(/is not a store|choose/),
			});
		}
		expect(readdirSync(root).sort()).toEqual(["layers", "staging", "trash"]);
		for (const name of readdirSync(root)) expect(readdirSync(path.join(root, name))).toEqual(["mine"]);
	});

	it("is made in an empty directory, also in one of a new filesystem", async () => {
		mkdirSync(path.join(root, "lost+found"));
		await using store = await openLayerStore({ root });
		await store.create(id("web"));
	});

	it("of an older format is refused in a sentence", async () => {
		for (const name of ["metadata", "staging", "layers"]) mkdirSync(path.join(root, name));
		writeFileSync(path.join(root, "metadata/data.mdb"), "");
		await expect(openLayerStore({ root })).rejects.toThrow(/store of an older format/);
		writeFileSync(path.join(root, "store.json"), '{"lamella":3}');
		await expect(openLayerStore({ root })).rejects.toThrow(/format 3.*reads format 2/);
	});

	it("is not changed by who only looks, and reads as empty where there is none", async () => {
		const none = path.join(root, "none");
		{
			await using store = await openLayerStore({ root: none, readOnly: true });
			expect([...store.list()]).toEqual([]);
			await expect(store.create(id("web"))).rejects.toThrow(/open for reading only/);
		}
		expect(existsSync(none)).toBe(false);
		{
			await using store = await openLayerStore({ root });
			await store.create(id("web"));
		}
		mkdirSync(path.join(root, "layers/unknown1"));
		mkdirSync(path.join(root, "staging/gone12"));
		const listing = (): string[] => readdirSync(root, { recursive: true, encoding: "utf8" }).sort();
		const before = listing();
		{
			await using store = await openLayerStore({ root, readOnly: true });
			expect(store.get(id("web")).kind).toBe("active");
		}
		expect(listing()).toEqual(before);
	});

	it("sets aside what no record knows, drops what has only a record, and tells of both", async () => {
		{
			await using store = await openLayerStore({ root });
			await store.create(id("key"));
			await store.commit(id("key"), id("base"));
			await store.create(id("lost"), { parent: id("base") });
			await store.create(id("kept"), { parent: id("base") });
			rmSync(store.get(id("lost")).directory, { recursive: true });
			mkdirSync(path.join(root, "layers/unknown1"));
		}
		await using store = await openLayerStore({ root });
		expect([...store.list()].map(({ id }) => id)).toEqual(["base", "kept"]);
		expect(readdirSync(path.join(root, "lost+found"))).toEqual(["unknown1"]);
		expect(store.notices).toEqual([
			expect.stringContaining("layers/unknown1"),
			expect.stringContaining('"lost"'),
		]);
		await using again = await openLayerStore({ root });
		expect(again.notices).toEqual([]);
	});

	it("with an older database put back keeps what is newer, and tells what is missing", async () => {
		const metadata = path.join(root, "metadata");
		{
			await using store = await openLayerStore({ root });
			await store.create(id("key"));
			await store.commit(id("key"), id("removed"));
		}
		execFileSync("cp", ["-a", metadata, `${metadata}.older`]);
		{
			await using store = await openLayerStore({ root });
			await store.remove(id("removed"));
			await store.create(id("newer"));
		}
		rmSync(metadata, { recursive: true });
		renameSync(`${metadata}.older`, metadata);
		await using store = await openLayerStore({ root });
		expect(readdirSync(path.join(root, "lost+found"))).toHaveLength(1);
		expect(store.notices).toContainEqual(expect.stringMatching(/data of layer "removed" is missing/));
		await expect(store.mount(id("removed"))).rejects.toMatchObject({ code: "ECORRUPT" });
		await expect(store.changes(id("removed"))).rejects.toMatchObject({ code: "ECORRUPT" });
		await expect(store.create(id("over"), { parent: id("removed") })).rejects.toMatchObject({
			code: "ECORRUPT",
		});
		await store.remove(id("removed"));
	});

	it("keeps documents as long as a record names them", async () => {
		await using store = await openLayerStore({ root });
		const digest = await store.documents.put(Buffer.from("a document"));
		expect(store.documents.get(digest).toString()).toBe("a document");
		const things = store.records("things");
		await things.put("one", { v: 1 }, { documents: [digest] });
		await things.put("two", { v: 2 }, { documents: [digest] });
		await things.remove("one");
		await store.cleanup();
		expect(store.documents.get(digest).toString()).toBe("a document");
		await things.put("two", { v: 3 });
		await store.cleanup();
		expect(() => store.documents.get(digest)).toThrow(expect.objectContaining({ code: "ENOTFOUND" }));
		await expect(things.put("two", {}, { documents: [digest] })).rejects.toMatchObject({ code: "ENOTFOUND" });
		expect(things.get("two")).toEqual({ v: 3 });
	});

	it("sweeps documents that were written and never named", async () => {
		{
			await using store = await openLayerStore({ root });
			await store.documents.put(Buffer.from("never named"));
			const digest = await store.documents.put(Buffer.from("named"));
			await store.records("things").put("one", {}, { documents: [digest] });
		}
		await using store = await openLayerStore({ root });
		expect(readdirSync(path.join(root, "documents"))).toHaveLength(1);
		expect(
			readdirSync(path.join(root, "staging")).flatMap((name) =>
				readdirSync(path.join(root, "staging", name)),
			),
		).toEqual([]);
		await store.close();
	});

	it("imports chains whose layers wait for those below them with a single thread", async () => {
		const tar = path.join(root, "layer.tar");
		mkdirSync(path.join(root, "tree/etc"), { recursive: true });
		writeFileSync(path.join(root, "tree/etc/file"), "x");
		execFileSync("tar", ["-C", path.join(root, "tree"), "-cf", tar, "./etc/file"]);
		await using store = await openLayerStore({ root: path.join(root, "store"), threads: 1 });
		const compression = "none";
		const source = {
			from: "range",
			path: tar,
			offset: 0,
			sizeBytes: statSync(tar).size,
			compression,
		} as const;
		for (let round = 0; round < 10; round++) {
			const layers = Array.from({ length: 8 }, (_, i) => ({ id: id(`${round}-${i}`), source }));
			expect(await store.importChain(layers)).toHaveLength(8);
		}
	});

	it("tells of a layer whose directory is gone, and goes on with the rest", async () => {
		await using store = await openLayerStore({ root });
		await store.create(id("lost"));
		await store.create(id("kept"));
		rmSync(store.get(id("lost")).directory, { recursive: true });
		expect(store.status().details.map((pair) => pair.join(" "))).toContainEqual(
			expect.stringContaining('"lost"'),
		);
		await (await store.mount(id("kept"))).unmount();
		await store.remove(id("lost"));
		expect(store.has(id("lost"))).toBe(false);
	});

	it("is refused to another driver once it has layers", async () => {
		{
			await using store = await openLayerStore({ root, driver: "vfs" });
			await store.create(id("web"));
		}
		await expect(openLayerStore({ root, driver: "overlay" })).rejects.toMatchObject({ code: "ECONFIG" });
		await using store = await openLayerStore({ root });
		expect(store.status().driver).toBe("vfs");
	});

	it("is shared by several processes, whose counts agree", async () => {
		await using store = await openLayerStore({ root });
		await store.create(id("shared"));
		const held = await store.mount(id("shared"));
		const outcomes = await Promise.all(["p", "q"].map((name) => runHammer(name)));
		expect(outcomes).toEqual(["", ""]);
		expect(store.get(id("shared")).mountCount).toBe(1);
		expect([...store.list()].map(({ id }) => id)).toEqual(["p-kept", "q-kept", "shared"]);
		await held.unmount();
		expect(existsSync(store.get(id("shared")).mountPoint)).toBe(false);
		await store.cleanup();
		expect(readdirSync(path.join(root, "layers"))).toHaveLength(3);
	});
});

/** What the child has to complain about. */
async function runHammer(name: string): Promise<string> {
	const child = spawn(process.execPath, [hammer, root, name], { stdio: ["ignore", "inherit", "pipe"] });
	let errors = "";
	child.stderr.on("data", (chunk: Buffer) => {
		errors += chunk.toString();
	});
	const code = await new Promise((resolve) => child.once("close", resolve));
	return code === 0 ? errors : `${code}: ${errors}`;
}
