import fs from "node:fs";
import path from "node:path";
import zlib from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { sha256, writeLayout } from "../../../test/support/oci-layout.ts";
import { MemoryRegistry } from "../../registry/testing/memory-registry.ts";
import { TarWriter } from "../../tar/index.ts";
import type { PushOptions, PushResult } from "../contract.ts";
import { leftovers, openTestImages, type TestImages } from "../testing/open-images.ts";

let registry: MemoryRegistry;
let here: TestImages;

beforeEach(async () => {
	registry = await MemoryRegistry.start();
	here = await openTestImages();
});

afterEach(async () => {
	expect(leftovers(here.root)).toEqual([]);
	await here[Symbol.asyncDispose]();
	await registry[Symbol.asyncDispose]();
});

const at = (name: string): string => `${registry.host}/${name}`;

async function push(reference: string, options: PushOptions = {}): Promise<PushResult> {
	const hosts = { certsDirectories: [], environment: {} };
	const [result] = await here.images.push(reference, { hosts, ...options });
	if (result === undefined) throw new Error("nothing was pushed");
	return result;
}

/** A layer with one file. */
function layerTar(content: string): Buffer {
	const chunks: Buffer[] = [];
	const writer = new TarWriter((chunk) => chunks.push(Buffer.from(chunk)));
	const bytes = Buffer.from(content);
	writer.entry({
		...{ path: Buffer.from("file"), type: "file", mode: 0o644, uid: 0, gid: 0, sizeBytes: bytes.length },
		...{ mtimeNs: 0n, linkPath: Buffer.alloc(0), deviceMajor: 0, deviceMinor: 0, xattrs: [] },
	});
	writer.data(bytes);
	writer.entryEnd();
	writer.finish();
	return Buffer.concat(chunks);
}

/** An image of gzip layers, by our own compressor or by one that nobody here has. */
async function importLayers(name: string, contents: readonly string[], level = 6): Promise<void> {
	const layout = fs.mkdtempSync(path.join(here.work, "layout-"));
	writeLayout(
		layout,
		contents.map(layerTar).map((tar) => ({
			blob: zlib.gzipSync(tar, { level }),
			suffix: "+gzip" as const,
			diffId: sha256(tar),
		})),
	);
	await here.images.import(layout, { name });
}

const waysOf = ({ layers }: PushResult): readonly string[] => layers.map(({ way }) => way);

test("what is pushed is an image of the registry: manifest, config and layers", async () => {
	await importLayers("app:1", ["one", "two"]);
	const { manifestDigest, reference, ...result } = await push("app:1", { to: at("app:1") });
	expect(reference).toBe(at("app:1"));
	expect(waysOf({ manifestDigest, reference, ...result })).toEqual(["uploaded", "uploaded"]);
	const bytes = registry.manifests.get("1") ?? Buffer.alloc(0);
	expect(sha256(bytes)).toBe(manifestDigest);
	const manifest = JSON.parse(bytes.toString());
	expect(registry.blobs.has(manifest.config.digest)).toBe(true);
	for (const { digest } of manifest.layers) expect(registry.blobs.has(digest)).toBe(true);
});

test("a manifest whose blobs can be made again byte for byte keeps its digest", async () => {
	await importLayers("app:1", ["one", "two"]);
	const { manifestDigest } = here.images.get("app:1");
	const pushed = await push("app:1", { to: at("app:1") });
	expect(pushed).toMatchObject({ manifestDigest, replacedDigest: undefined });
});

test("where blobs cannot be made again, the digest is new, and is kept from then on", async () => {
	await importLayers("app:1", ["one", "two"], 1);
	const { manifestDigest } = here.images.get("app:1");
	const first = await push("app:1", { to: at("app:1") });
	expect(first.replacedDigest).toBe(manifestDigest);
	expect(first.manifestDigest).not.toBe(manifestDigest);
	const again = await push("app:1", { to: at("app:2") });
	expect(again.manifestDigest).toBe(first.manifestDigest);
	expect(waysOf(again)).toEqual(["existed", "existed"]);
	// What it came with is still what it is listed with.
	expect(here.images.get("app:1").manifestDigest).toBe(manifestDigest);
});

test("where the registry has the blobs that the image came with, they stay, and so does the digest", async () => {
	await importLayers("app:1", ["one", "two"], 1);
	const { manifestDigest, manifestBytes } = here.images.get("app:1");
	for (const { digest } of JSON.parse(String(manifestBytes)).layers)
		registry.blobs.set(digest, Buffer.alloc(1));
	const pushed = await push("app:1", { to: at("app:1") });
	expect(pushed).toMatchObject({ manifestDigest, replacedDigest: undefined, sizeBytes: 0 });
});

test("another compression is another manifest; what has it already stays", async () => {
	await importLayers("app:1", ["one", "two"]);
	await push("app:1", { to: at("app:1") });
	const pushed = await push("app:1", { to: at("app:zstd"), compression: "zstd" });
	expect(waysOf(pushed)).toEqual(["uploaded", "uploaded"]);
	const manifest = JSON.parse(String(registry.manifests.get("zstd")));
	expect(manifest.layers[0].mediaType).toBe("application/vnd.oci.image.layer.v1.tar+zstd");
	expect(waysOf(await push("app:1", { to: at("app:z2"), compression: "zstd" }))).toEqual([
		"existed",
		"existed",
	]);
});

test("layers below, which another image was pushed with, are not made again", async () => {
	await importLayers("base:1", ["one"], 1);
	await push("base:1", { to: at("base:1") });
	await importLayers("app:1", ["one", "two"], 9);
	const pushed = await push("app:1", { to: at("base:2") });
	expect(waysOf(pushed)).toEqual(["existed", "uploaded"]);
});

test("a blob that another repository of the registry has is taken over from there", async () => {
	await importLayers("app:1", ["one", "two"]);
	await push("app:1", { to: at("app:1") });
	// As if it were the other repository that has it.
	registry.intercept = (request, response) => {
		if (request.method !== "HEAD") return false;
		response.writeHead(404).end();
		return true;
	};
	registry.seen.length = 0;
	const pushed = await push("app:1", { to: at("other:1") });
	expect(waysOf(pushed)).toEqual(["mounted", "mounted"]);
	const mounts = registry.seen.filter(({ path }) => path.includes("mount="));
	expect(mounts.map(({ path }) => new URL(path, "http://host").searchParams.get("from"))).toEqual([
		"app",
		"app",
	]);
});

test("a layer that is there twice goes once, and an image without layers is one", async () => {
	await importLayers("twice:1", ["same", "same"]);
	await push("twice:1", { to: at("twice:1") });
	expect(registry.asked.filter((line) => line.startsWith("PUT /v2/twice/blobs"))).toHaveLength(2);
	expect(JSON.parse(String(registry.manifests.get("1"))).layers).toHaveLength(2);
	await importLayers("none:1", []);
	expect(waysOf(await push("none:1", { to: at("none:2") }))).toEqual([]);
	expect(JSON.parse(String(registry.manifests.get("2"))).layers).toEqual([]);
});

test("all tags of a repository are pushed, and no others", async () => {
	await importLayers(at("app:1"), ["one"]);
	await here.images.tag(at("app:1"), at("app:latest"));
	await importLayers(at("app:2"), ["two"]);
	await importLayers(at("apps:3"), ["three"]);
	const hosts = { certsDirectories: [], environment: {} };
	const pushed = await here.images.push(at("app"), { allTags: true, hosts });
	expect(pushed.map(({ reference }) => reference).sort()).toEqual([
		at("app:1"),
		at("app:2"),
		at("app:latest"),
	]);
	expect([...registry.manifests.keys()].sort()).toEqual(["1", "2", "latest"]);
});

test("progress says of each layer what is done with it", async () => {
	await importLayers("app:1", ["one"], 1);
	const phases: string[] = [];
	const onProgress: PushOptions["onProgress"] = ({ operation, phase }) =>
		phases.push(`${operation} ${phase}`);
	await push("app:1", { to: at("app:1"), onProgress });
	expect([...new Set(phases)]).toEqual(["push waiting", "push writing", "push uploading", "push done"]);
	phases.length = 0;
	await push("app:1", { to: at("app:1"), onProgress });
	expect(phases).toEqual(["push waiting", "push exists"]);
});

test("where to has to be said, as a tag", async () => {
	await importLayers("app:1", ["one"]);
	const { id } = here.images.get("app:1");
	await expect(push(id)).rejects.toThrow(/does not name a registry to push to/);
	await expect(push("app:1", { to: `${at("app")}@${id}` })).rejects.toThrow(/give a tag/);
	await expect(push(at("nothing"), { allTags: true })).rejects.toMatchObject({ code: "ENOTFOUND" });
	await expect(push(at("app:1"), { allTags: true })).rejects.toMatchObject({ code: "EINVALID" });
	await expect(push("absent")).rejects.toMatchObject({ code: "ENOTFOUND" });
});

test("a registry that refuses a layer leaves nothing behind", async () => {
	await importLayers("app:1", ["one", "two"]);
	registry.intercept = (request, response) => {
		if (request.method !== "POST") return false;
		response.writeHead(403).end();
		return true;
	};
	await expect(push("app:1", { to: at("app:1") })).rejects.toMatchObject({ code: "EDENIED" });
	expect(registry.manifests.size).toBe(0);
});

test("a cancelled push is told as one", async () => {
	await importLayers("app:1", ["one", "two"]);
	const abort = new AbortController();
	registry.intercept = (request) => {
		if (request.method !== "POST") return false;
		abort.abort();
		return true;
	};
	const pushed = push("app:1", { to: at("app:1"), signal: abort.signal });
	await expect(pushed).rejects.toMatchObject({ code: "EABORTED", message: "the push was cancelled" });
});
