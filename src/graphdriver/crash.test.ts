import { statSync } from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeDirectory, type TestFilesystem } from "../../test/support/filesystems.ts";
import { type LayerId, openLayerStore } from "../store/index.ts";
import { MOUNT_LABEL_LABEL } from "./bases.ts";
import { init } from "./index.ts";
import { FROZEN_FROM_LABEL, ID_LABEL, INTERNAL_LABEL } from "./layer-ids.ts";

let directory: TestFilesystem;
let home: string;
beforeEach(() => {
	directory = makeDirectory();
	home = path.join(directory.path, "home");
});
afterEach(() => directory[Symbol.dispose]());

const id = (text: string): LayerId => text as LayerId;

describe("what a killed process left", () => {
	it("a frozen layer whose id has no layer yet: the id goes on over it", async () => {
		{
			await using store = await openLayerStore({ root: home });
			await store.create(id("x"), { labels: { [ID_LABEL]: "x" } });
			await store.commit(id("x"), id("x:frozen"), {
				labels: { [INTERNAL_LABEL]: "frozen", [FROZEN_FROM_LABEL]: "x" },
			});
		}
		await using driver = await init(home);
		expect(await driver.exists("x")).toBe(true);
		await driver.get("x");
		await driver.put("x");
		await driver.remove("x");
		expect([...driver.store.list()]).toEqual([]);
	});

	it("a frozen layer with a mount label: the id goes on with it", async () => {
		const label = { [MOUNT_LABEL_LABEL]: "system_u:object_r:container_file_t:s0" };
		{
			await using store = await openLayerStore({ root: home });
			await store.create(id("x"));
			await store.commit(id("x"), id("x:frozen"), {
				labels: { [INTERNAL_LABEL]: "frozen", [FROZEN_FROM_LABEL]: "x", ...label },
			});
		}
		await using driver = await init(home);
		expect(driver.store.get(id("x")).labels).toMatchObject(label);
	});

	it("an applied layer beside the created one that it replaces: the applied one stays", async () => {
		{
			await using store = await openLayerStore({ root: home });
			await store.create(id("x:pending"), { labels: { [ID_LABEL]: "x" } });
			await store.applyLayer(id("x"), Readable.from([Buffer.alloc(1024)]), { labels: { [ID_LABEL]: "x" } });
		}
		await using driver = await init(home);
		expect([...driver.store.list()].map((layer) => layer.id)).toEqual(["x"]);
		expect(await driver.exists("x")).toBe(true);
	});

	it("an internal layer that nobody stands on: it goes", async () => {
		{
			await using store = await openLayerStore({ root: home });
			await store.applyLayer(id("x:copied"), Readable.from([Buffer.alloc(1024)]), {
				labels: { [INTERNAL_LABEL]: "copied" },
			});
		}
		await using driver = await init(home);
		expect([...driver.store.list()]).toEqual([]);
	});
});

describe("one home", () => {
	it("has one driver at a time, and shows layers that were made through the store", async () => {
		{
			await using store = await openLayerStore({ root: home });
			await store.applyLayer(id("image"), Readable.from([Buffer.alloc(1024)]));
		}
		await using driver = await init(home);
		await expect(init(home)).rejects.toMatchObject({ code: "EBUSY" });
		await driver.createReadWrite("c", "image");
		expect(await driver.exists("image")).toBe(true);
		await expect(driver.remove("image")).rejects.toMatchObject({ code: "EREFERENCED" });
		await driver.remove("c");
	});

	it("refuses unknown options by name and maps without a root", async () => {
		await expect(init(home, ["overlay2.size=1"])).rejects.toThrow(/overlay2\.size/);
		await expect(init(home, ["lamella.flatten=sometimes"])).rejects.toThrow(/always, auto, never/);
		await expect(init(home, ["lamella.flatten"])).rejects.toMatchObject({ code: "EINVALID" });
		await expect(init("relative")).rejects.toMatchObject({ code: "EINVALID" });
	});

	it("gives a mapped root what it has to walk through and write to", async () => {
		const maps = [{ containerId: 0, hostId: 200000, size: 65536 }];
		await using driver = await init(home, [], maps, maps);
		await driver.create("base", "");
		await driver.applyDiff("base", "", Readable.from([Buffer.alloc(1024)]));
		await driver.createReadWrite("c", "base");
		await driver.get("c");
		const { WorkDir = "" } = await driver.metadata("c");
		for (const file of [home, path.join(home, "layers"), path.dirname(WorkDir), path.join(WorkDir, "work")]) {
			expect([file, statSync(file).uid, statSync(file).gid]).toEqual([file, 200000, 200000]);
		}
		await driver.put("c");
	});
});
