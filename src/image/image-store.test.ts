import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../test/support/processes.ts";
import { makeSmallImage, type SmallImage } from "../../test/support/small-image.ts";
import type { LayerId, LayerStore } from "../store/index.ts";
import type { ProgressEvent } from "./contract.ts";
import { openImages } from "./image-store.ts";
import { leftovers, openTestImages } from "./testing/open-images.ts";

let directory: string;
let image: SmallImage;

beforeAll(() => {
	directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	image = makeSmallImage(directory);
});

afterAll(() => {
	fs.rmSync(directory, { recursive: true, force: true });
});

/** Content of a file in the mounted top layer of an image. */
async function withTree<T>(
	store: Awaited<ReturnType<typeof openTestImages>>["store"],
	layer: LayerId,
	use: (root: string) => T,
): Promise<T> {
	await store.create("look" as LayerId, { parent: layer, kind: "view" });
	try {
		await using mount = await store.mount("look" as LayerId);
		return use(mount.path);
	} finally {
		await store.remove("look" as LayerId);
	}
}

describe("import", () => {
	it("reads an OCI layout, an OCI archive and a docker-save archive as the same image", async () => {
		await using test = await openTestImages();
		const events: ProgressEvent[] = [];
		const [fromLayout] = await test.images.import(image.layout, {
			onProgress: (event) => events.push(event),
		});
		expect(fromLayout?.names).toEqual(["layout:test"]);
		expect(fromLayout?.layers).toHaveLength(2);
		expect(new Set(events.map(({ phase }) => phase))).toEqual(new Set(["waiting", "applying", "done"]));

		const again: ProgressEvent[] = [];
		const [fromArchive] = await test.images.import(image.archive, {
			name: "busybox",
			onProgress: (event) => again.push(event),
		});
		expect(again.map(({ phase }) => phase)).toEqual(["exists", "exists"]);
		expect(fromArchive?.id).toBe(fromLayout?.id);
		expect(fromArchive?.names).toEqual(["busybox:latest", "layout:test"]);
		expect(fromArchive?.sizeBytes).toBe(fromLayout?.sizeBytes);

		const [fromDocker] = await test.images.import(image.dockerArchive);
		expect(fromDocker?.layers).toEqual(fromLayout?.layers);
		expect(fromDocker?.names).toContain("busybox:test");
		const details = test.images.get("busybox:test");
		expect(details.config).toMatchObject({ config: { WorkingDir: "/data" } });
		expect(`sha256:${run("sha256sum", [], { input: details.configBytes }).stdout.slice(0, 64)}`).toBe(
			details.id,
		);

		const top = fromLayout?.layers.at(-1)?.layer as LayerId;
		await withTree(test.store, top, (root) => {
			expect(fs.readFileSync(path.join(root, "etc/issue"), "utf8")).toBe("busybox\n");
			const names = ["bin", "data", "dev", "etc", "home", "proc", "root", "srv", "tmp", "usr", "var"];
			expect(fs.readdirSync(root)).toEqual(names);
		});
	});

	it.each(["gzip", "zstd"])(
		"reads an archive that is %s as a whole, from a file and from a stream",
		async (program) => {
			await using test = await openTestImages();
			const compressed = path.join(test.work, "image.tar.x");
			run("sh", ["-c", `${program} -c "$1" >"$2"`, "sh", image.archive, compressed]);
			const [one] = await test.images.import(compressed, { name: "a" });
			const [two] = await test.images.import(fs.createReadStream(compressed), { name: "b" });
			const [three] = await test.images.import(fs.createReadStream(image.dockerArchive));
			expect(two?.id).toBe(one?.id);
			expect(three?.id).toBe(one?.id);
			expect(leftovers(test.root)).toEqual([]);
		},
	);
});

describe("import beside rmi", () => {
	/** The store, with something that happens once, right before layers are brought in. */
	function interrupted(store: LayerStore, happens: () => Promise<unknown>): LayerStore {
		let pending: (() => Promise<unknown>) | undefined = happens;
		const importChain: LayerStore["importChain"] = async (...args) => {
			const now = pending;
			pending = undefined;
			await now?.();
			return await store.importChain(...args);
		};
		return Object.create(store, { importChain: { value: importChain } }) as LayerStore;
	}

	it.each(["before its first layer is made", "once its last layer is made"])(
		"takes skipped layers from the archive where they are removed %s",
		async (when) => {
			await using test = await openTestImages();
			const { store, images } = test;
			const [base] = await images.import(image.layout, { name: "base" });
			await store.create("web" as LayerId, { parent: base?.layers.at(-1)?.layer });
			const archive = path.join(test.work, "made.tar");
			await images.commit("web" as LayerId, "made:1");
			await images.export("made:1", archive, { format: "docker" });
			await images.remove("made:1");
			await store.remove("web" as LayerId);

			const early = when.startsWith("before");
			let removal: Promise<unknown> | undefined;
			const target = early ? openImages(interrupted(store, () => images.remove("base"))) : images;
			const [made] = await target.import(archive, {
				onProgress: ({ phase }) => {
					if (phase === "done" && !early) removal ??= images.remove("base");
				},
			});
			await removal;
			expect(images.list().map(({ names }) => names)).toEqual([["made:1"]]);
			expect(store.chain(made?.layers.at(-1)?.layer as LayerId)).toHaveLength(2);
			await images.remove("made:1");
			expect([...store.list()]).toEqual([]);
			expect(leftovers(test.root)).toEqual([]);
		},
	);
});

describe("commit", () => {
	it("makes an image of a mounted layer, over the config of the image that it came from", async () => {
		await using test = await openTestImages();
		const { store, images } = test;
		const [base] = await images.import(image.layout, { name: "base" });
		const parent = base?.layers.at(-1)?.layer;
		await store.create("web" as LayerId, { parent });
		await using mount = await store.mount("web" as LayerId);
		fs.writeFileSync(path.join(mount.path, "etc/new"), "new\n");
		fs.rmSync(path.join(mount.path, "data"), { recursive: true });

		const made = await images.commit("web" as LayerId, "made:1", {
			author: "ann",
			message: "why",
			changes: ["ENV FROM_COMMIT=yes", "WORKDIR /etc"],
			createdAtMs: Date.UTC(2024, 0, 2),
		});
		expect(made.layers.slice(0, 2)).toEqual(base?.layers);
		expect(made.layers).toHaveLength(3);
		expect(made.createdAtMs).toBe(Date.UTC(2024, 0, 2));
		expect(images.get("made:1").config).toMatchObject({
			author: "ann",
			config: { WorkingDir: "/etc", Env: expect.arrayContaining(["FROM_IMAGE=yes", "FROM_COMMIT=yes"]) },
			rootfs: { diff_ids: made.layers.map(({ diffId }) => diffId) },
		});
		expect(store.get("web" as LayerId).kind).toBe("active");
		await withTree(store, made.layers[2]?.layer as LayerId, (root) => {
			expect(fs.readFileSync(path.join(root, "etc/new"), "utf8")).toBe("new\n");
			expect(fs.existsSync(path.join(root, "data"))).toBe(false);
		});
		const again = await images.commit("web" as LayerId, "made:2", { createdAtMs: Date.UTC(2024, 0, 3) });
		expect(again.layers).toEqual(made.layers);
		expect(again.id).not.toBe(made.id);
		expect(leftovers(test.root)).toEqual([]);
	});

	it("makes an image of a layer that stands on nothing, and on layers that no image has", async () => {
		await using test = await openTestImages();
		const { store, images } = test;
		const tar = path.join(test.work, "layer.tar");
		fs.writeFileSync(path.join(test.work, "below"), "below\n");
		run("tar", ["-C", test.work, "-cf", tar, "below"]);
		await store.applyLayer("own" as LayerId, Readable.from([fs.readFileSync(tar)]));
		await store.create("top" as LayerId, { parent: "own" as LayerId });
		const made = await images.commit("top" as LayerId, undefined);
		expect(made.names).toEqual([]);
		expect(made.layers.map(({ layer }) => layer)[0]).toBe("own");
		await store.create("alone" as LayerId);
		expect((await images.commit("alone" as LayerId, "alone")).layers).toHaveLength(1);
		await images.remove(made.id);
		expect(store.has("own" as LayerId)).toBe(true);
	});

	it("makes an image of a committed layer without a copy of its files", async () => {
		await using test = await openTestImages();
		const { store, images } = test;
		await store.create("web" as LayerId);
		await using mount = await store.mount("web" as LayerId);
		fs.writeFileSync(path.join(mount.path, "large"), "content");
		await store.checkpoint("web" as LayerId, { as: "kept" as LayerId });
		fs.writeFileSync(path.join(mount.path, "later"), "");
		const made = await images.commit("kept" as LayerId, "kept:1");
		const [layer] = made.layers;
		const inode = (id: LayerId): number => fs.statSync(path.join(store.get(id).directory, "diff/large")).ino;
		expect(inode(layer?.layer ?? ("" as LayerId))).toBe(inode("kept" as LayerId));
		expect(fs.readdirSync(path.join(store.get("kept" as LayerId).directory, "diff"))).toEqual(["large"]);
		await mount.unmount();
	});

	it("refuses views and wrong instructions", async () => {
		await using test = await openTestImages();
		const [base] = await test.images.import(image.layout);
		const top = base?.layers.at(-1)?.layer as LayerId;
		await test.store.create("view" as LayerId, { parent: top, kind: "view" });
		await expect(test.images.commit("view" as LayerId, "x")).rejects.toMatchObject({ code: "EKIND" });
		await test.store.create("web" as LayerId, { parent: top });
		await expect(test.images.commit("web" as LayerId, "x", { changes: ["RUN x"] })).rejects.toMatchObject({
			code: "EINVALID",
		});
		await expect(test.images.commit("web" as LayerId, "X Y")).rejects.toMatchObject({ code: "EINVALID" });
		await expect(test.images.commit("nope" as LayerId, "x")).rejects.toMatchObject({ code: "ENOTFOUND" });
	});
});

describe("remove", () => {
	it("takes the name, then the image, then the layers that nothing uses", async () => {
		await using test = await openTestImages();
		const { store, images } = test;
		const [base] = await images.import(image.layout, { name: "a" });
		await images.tag("a", "b");
		await store.create("web" as LayerId, { parent: base?.layers.at(-1)?.layer });
		const made = await images.commit("web" as LayerId, "made");

		expect(await images.remove("a")).toEqual({ names: ["a:latest"], layers: [] });
		await expect(images.remove("b")).rejects.toMatchObject({ code: "EREFERENCED", layer: "web" });
		await store.remove("web" as LayerId);
		const gone = await images.remove(base?.id.slice(7, 19) as string);
		expect(gone).toEqual({ names: ["b:latest"], image: base?.id, layers: [] });
		expect(images.find("b")).toBeUndefined();
		expect(await images.remove("made")).toEqual({
			names: ["made:latest"],
			image: made.id,
			layers: made.layers.map(({ layer }) => layer).reverse(),
		});
		expect([...store.list()]).toEqual([]);
		expect(images.list()).toEqual([]);
		await expect(images.remove("made")).rejects.toMatchObject({ code: "ENOTFOUND" });
	});

	it("refuses an image with a layer that is mounted, with a way out that there is", async () => {
		await using test = await openTestImages();
		const { store, images } = test;
		const [base] = await images.import(image.layout, { name: "a" });
		const layer = base?.layers.at(-1)?.layer as LayerId;
		const mount = await store.mount(layer);
		await expect(images.remove("a")).rejects.toMatchObject({
			code: "EBUSY",
			layer,
			message: `cannot remove image a:latest: its layer "${layer}" is mounted at ${mount.path}; unmount it first (lamella unmount ${layer})`,
		});
		await mount.unmount();
		await images.remove("a");
	});

	it("moves a name to the image that got it last", async () => {
		await using test = await openTestImages();
		const { store, images } = test;
		const [base] = await images.import(image.layout, { name: "x" });
		await store.create("web" as LayerId, { parent: base?.layers.at(-1)?.layer });
		const made = await images.commit("web" as LayerId, "x");
		expect(images.get("x").id).toBe(made.id);
		expect(images.get(base?.id as string).names).toEqual([]);
	});
});

describe("export", () => {
	it.each([
		["oci", "none"],
		["oci", "gzip"],
		["oci", "zstd"],
		["docker", "none"],
		["docker", "gzip"],
		["oci-dir", "gzip"],
	] as const)("as %s with %s layers is imported again as the same tree", async (format, compression) => {
		await using test = await openTestImages();
		const { images } = test;
		await images.import(image.layout, { name: "busybox:demo" });
		const out = path.join(test.work, "out");
		const events: ProgressEvent[] = [];
		const result = await images.export("busybox:demo", out, {
			format,
			compression,
			onProgress: (event) => events.push(event),
		});
		expect(events.filter(({ phase }) => phase === "done")).toHaveLength(2);
		expect(fs.readdirSync(test.work)).toEqual(["out"]);
		expect(leftovers(test.root)).toEqual([]);

		const second = path.join(test.work, "second");
		await images.export("busybox:demo", second, { format, compression });
		expect(run("diff", ["-r", out, second]).stdout).toBe("");

		await images.remove("busybox:demo");
		const [back] = await images.import(out, { name: "back" });
		expect(back?.id).toBe(result.exportedAs);
		await withTree(test.store, back?.layers.at(-1)?.layer as LayerId, (root) => {
			expect(fs.readFileSync(path.join(root, "etc/issue"), "utf8")).toBe("busybox\n");
			expect(fs.existsSync(path.join(root, "sys"))).toBe(false);
		});
		const [named] = await images.import(out);
		expect(named?.names).toContain("busybox:demo");
	});

	it("is read by skopeo and umoci", async () => {
		await using test = await openTestImages();
		const { images, work } = test;
		await images.import(image.layout, { name: "busybox:demo" });
		const at = (name: string): string => path.join(work, name);
		await images.export("busybox:demo", at("oci.tar"));
		await images.export("busybox:demo", at("docker.tar"), { format: "docker" });
		await images.export("busybox:demo", at("dir"), { format: "oci-dir" });
		run("skopeo", ["copy", "-q", "--insecure-policy", `oci-archive:${at("oci.tar")}:demo`, `dir:${at("a")}`]);
		run("skopeo", [
			"copy",
			"-q",
			"--insecure-policy",
			`docker-archive:${at("docker.tar")}`,
			`dir:${at("b")}`,
		]);
		run("skopeo", ["copy", "-q", "--insecure-policy", `oci-archive:${at("docker.tar")}`, `dir:${at("c")}`]);
		run("umoci", ["unpack", "--image", `${at("dir")}:demo`, at("bundle")]);
		expect(fs.readFileSync(at("bundle/rootfs/etc/issue"), "utf8")).toBe("busybox\n");
	});

	it("goes to a stream, and replaces a file but no directory", async () => {
		await using test = await openTestImages();
		const { images, work } = test;
		await images.import(image.layout, { name: "x" });
		const file = path.join(work, "x.tar");
		fs.writeFileSync(file, "old");
		await images.export("x", file);
		const stream = new PassThrough();
		const chunks: Buffer[] = [];
		stream.on("data", (chunk: Buffer) => chunks.push(chunk));
		await images.export("x", stream);
		expect(Buffer.concat(chunks).equals(fs.readFileSync(file))).toBe(true);
		await expect(images.export("x", work)).rejects.toMatchObject({ code: "EINVALID" });
		await expect(images.export("x", work, { format: "oci-dir" })).rejects.toMatchObject({ code: "EEXISTS" });
		await expect(images.export("x", path.join(work, "no/x.tar"))).rejects.toMatchObject({
			code: "ENOTFOUND",
		});
		await expect(images.export("y", file)).rejects.toMatchObject({ code: "ENOTFOUND" });
	});

	it("leaves nothing behind when it is cancelled", async () => {
		await using test = await openTestImages();
		const { images, work } = test;
		await images.import(image.layout, { name: "x" });
		for (const format of ["oci", "oci-dir"] as const) {
			const abort = new AbortController();
			const exported = images.export("x", path.join(work, "x"), {
				format,
				signal: abort.signal,
				onProgress: () => abort.abort(),
			});
			await expect(exported).rejects.toMatchObject({ code: "EABORTED" });
		}
		expect(fs.readdirSync(work)).toEqual([]);
		expect(leftovers(test.root)).toEqual([]);
	});
});
