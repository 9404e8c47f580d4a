import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unmountBelow } from "../../test/support/filesystems.ts";
import { run } from "../../test/support/processes.ts";
import { isLamellaError, openStore, type ProgressEvent, type Store } from "../index.ts";
import { parseLayerId } from "../store/index.ts";

let directory: string;
let store: Store;
let layerTar: string;

beforeAll(async () => {
	directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	store = await openStore({ root: path.join(directory, "root") });
	fs.mkdirSync(path.join(directory, "tree/etc"), { recursive: true });
	fs.writeFileSync(path.join(directory, "tree/etc/issue"), "one\n");
	layerTar = path.join(directory, "layer.tar");
	run("tar", ["-C", path.join(directory, "tree"), "-cf", layerTar, "."]);
});

afterAll(async () => {
	await store?.close();
	unmountBelow(directory);
	fs.rmSync(directory, { recursive: true, force: true });
});

describe("the library", () => {
	it("goes the whole way: apply, create, mount, changes, diff, commit, export, import, remove", async () => {
		const events: ProgressEvent[] = [];
		store.on("progress", (event) => events.push(event));
		await store.applyLayer(layerTar, { name: "base" });
		await store.create("web", { from: "base", labels: { why: "test" } });
		{
			await using mount = await store.mount("web");
			fs.writeFileSync(path.join(mount.path, "etc/motd"), "hello\n");
			expect((await store.changes("web")).map(({ kind, path }) => `${kind} ${path}`)).toEqual([
				"C /etc",
				"A /etc/motd",
			]);
		}
		const diff = await buffer(store.diff("web"));
		const listed = run("tar", ["-tf", "-"], { input: diff }).stdout.trim().split("\n");
		expect(listed.map((name) => name.replace(/\/$/, ""))).toEqual(["etc", "etc/motd"]);

		const image = await store.commit("web", "demo:1", { message: "test" });
		expect([{ ...store.images()[0], warnings: [] }]).toEqual([image]);
		expect(store.inspect("demo:1")).toMatchObject({ type: "image", image: { id: image.id } });
		expect(store.inspect("web")).toMatchObject({ type: "layer", layer: { labels: { why: "test" } } });
		await store.create("web2", { from: "demo:1" });
		expect(store.layer("web2").parent).toBe(image.layers.at(-1)?.layer);
		const [root] = store.tree();
		expect(root?.layer.id).toBe("base");
		expect(root?.children.flatMap(({ images }) => images)).toEqual(["demo:1"]);
		expect(store.status()).toMatchObject({ images: 1, layers: { active: 2, committed: 2 } });

		const out = path.join(directory, "demo.tar");
		const exported = await store.exportImage("demo:1", out);
		const [again] = await store.importImage(fs.createReadStream(out), { name: "demo:2" });
		expect(again?.id).toBe(exported.exportedAs);
		// What our writer wrote once, it writes again to the byte.
		const second = await store.exportImage("demo:2", path.join(directory, "demo2.tar"));
		expect(second.exportedAs).toBe(again?.id);
		expect(new Set(events.map(({ operation }) => operation))).toEqual(
			new Set(["apply", "commit", "export", "import"]),
		);

		// Packed layers are exported as they came, so that it is the same image by another name.
		await store.removeImage("demo:2");
		await expect(store.remove("base")).rejects.toMatchObject({ code: "EREFERENCED" });
		await expect(store.removeImage("demo:1")).rejects.toMatchObject({ code: "EREFERENCED", layer: "web2" });
		await store.remove("web2");
		const top = image.layers.at(-1)?.layer;
		await expect(store.removeImage("demo:1")).resolves.toMatchObject({ layers: [top] });
		await store.remove("web");
		await store.remove("base");
		expect(store.layers()).toEqual([]);
	});

	it("refuses names that are none, and says what may have been meant", async () => {
		for (const name of ["", ".", "..", "/", "a/b"]) {
			await expect(store.create(name)).rejects.toMatchObject({ code: "EINVALID" });
			await expect(store.mount(name)).rejects.toMatchObject({ code: "ENOTFOUND" });
			await expect(store.remove(name)).rejects.toMatchObject({ code: "ENOTFOUND" });
		}
		await store.create("database");
		await expect(store.mount("databse")).rejects.toThrow(/did you mean "database"/);
		await expect(store.create("x", { from: "database" })).rejects.toMatchObject({ code: "EKIND" });
		await expect(store.create("x", { from: "nothing" })).rejects.toMatchObject({ code: "ENOTFOUND" });
		await expect(store.create("database")).rejects.toMatchObject({ code: "EEXISTS" });
		expect(() => store.inspect("nothing")).toThrow(expect.objectContaining({ code: "ENOTFOUND" }));
		expect(() => store.image("nothing")).toThrow(expect.objectContaining({ code: "ENOTFOUND" }));
		await store.remove("database");
	});

	it("removes no layer of an engine unless it is forced to", async () => {
		const { layerStore } = store;
		await layerStore.create(parseLayerId("containerd/default/1/key"));
		await layerStore.create(parseLayerId("containerd-shifted/key"));
		await layerStore.create(parseLayerId("docked"), { labels: { "lamella.graphdriver/id": "0123" } });
		await store.create("labelled", { labels: { containerd: "no engine's" } });
		for (const [name, engine] of [
			["containerd/default/1/key", "containerd"],
			["containerd-shifted/key", "containerd"],
			["docked", "dockerd"],
		] as const) {
			await expect(store.remove(name)).rejects.toMatchObject({
				code: "EREFERENCED",
				layer: name,
				message: expect.stringContaining(engine),
			});
			await store.remove(name, { force: true });
		}
		await store.remove("labelled");
		expect(store.layers()).toEqual([]);
	});

	it("applies a stream, and nothing of one that breaks off", async () => {
		const tar = fs.readFileSync(layerTar);
		await store.applyLayer(Readable.from([tar]), { name: "whole" });
		const broken = async function* (): AsyncGenerator<Buffer> {
			yield tar.subarray(0, 700);
			throw new Error("the wire was cut");
		};
		await expect(store.applyLayer(Readable.from(broken()), { name: "broken" })).rejects.toSatisfy(
			isLamellaError,
		);
		await expect(store.applyLayer(path.join(directory, "none"), { name: "x" })).rejects.toMatchObject({
			code: "ENOTFOUND",
		});
		expect(store.layers().map(({ id }) => id)).toEqual(["whole"]);
		await store.remove("whole");
	});

	it("tells in each result what was left out", async () => {
		const tree = fs.mkdtempSync(path.join(directory, "tree-"));
		fs.mkdirSync(path.join(tree, ".wh..wh.plnk"));
		fs.writeFileSync(path.join(tree, ".wh..wh.plnk", "1"), "");
		const tarFile = path.join(directory, "aufs.tar");
		run("tar", ["-C", tree, "-cf", tarFile, "."]);
		const aufs = [expect.objectContaining({ kind: "aufs-name", count: 2 })];
		const applied = await store.applyLayer(tarFile, { name: "told" });
		expect(applied.warnings).toEqual(aufs);
		await store.create("tells", { from: "told" });
		{
			await using mount = await store.mount("tells");
			for (const name of ["a", "b"]) fs.writeFileSync(path.join(mount.path, `.wh.${name}`), "");
		}
		const names = [expect.objectContaining({ kind: "whiteout-name", count: 2, path: ".wh.a" })];
		const diff = store.diff("tells");
		await buffer(diff);
		expect((await diff.result).warnings).toEqual(names);
		const committed = await store.commit("tells", "told:1");
		expect(committed.warnings).toEqual(names);
		const archive = path.join(directory, "told.tar");
		expect((await store.exportImage("told:1", archive)).warnings).toEqual([]);
		expect((await store.importImage(archive, { name: "told:2" }))[0]?.warnings).toEqual([]);
		for (const name of ["told:1", "told:2"]) await store.removeImage(name);
		for (const name of ["tells", "told"]) await store.remove(name);
	});

	it("is not opened when it is cancelled", async () => {
		await expect(
			openStore({ root: path.join(directory, "no"), signal: AbortSignal.abort() }),
		).rejects.toMatchObject({
			code: "EABORTED",
		});
		expect(fs.existsSync(path.join(directory, "no"))).toBe(false);
	});
});
