import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "../../../test/support/processes.ts";
import { cleanName, TarArchive } from "../archive/tar-archive.ts";
import { hostArchitecture } from "./platform.ts";
import { readPlan } from "./read-plan.ts";

let directory: string;

beforeEach(() => {
	directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});

afterEach(() => {
	fs.rmSync(directory, { recursive: true, force: true });
});

function write(name: string, content: string | Buffer | object): void {
	const file = path.join(directory, "content", name);
	fs.mkdirSync(path.dirname(file), { recursive: true });
	fs.writeFileSync(
		file,
		typeof content === "string" || Buffer.isBuffer(content) ? content : JSON.stringify(content),
	);
}

function link(name: string, target: string): void {
	const file = path.join(directory, "content", name);
	fs.mkdirSync(path.dirname(file), { recursive: true });
	fs.symlinkSync(target, file);
}

function sha256(bytes: Buffer | string): string {
	return createHash("sha256").update(bytes).digest("hex");
}

function openTar(...options: string[]): TarArchive {
	const file = path.join(directory, "image.tar");
	run("tar", ["-C", path.join(directory, "content"), "-cf", file, ...options, "."]);
	return TarArchive.open(fs.openSync(file, "r"), "image.tar", "image");
}

/** A layer tar of one file. */
function layerTar(name: string): Buffer {
	const file = path.join(directory, name);
	fs.writeFileSync(file, name);
	run("tar", ["-C", directory, "-cf", `${file}.tar`, name]);
	return fs.readFileSync(`${file}.tar`);
}

describe("docker-save archives", () => {
	it("may link a repeated layer to the first, by symlink", async () => {
		const layer = layerTar("a");
		const diff = `sha256:${sha256(layer)}`;
		const config = JSON.stringify({ os: "linux", architecture: "amd64", rootfs: { diff_ids: [diff, diff] } });
		write("1/layer.tar", layer);
		link("2/layer.tar", "../1/layer.tar");
		write(`${sha256(config)}.json`, config);
		write("manifest.json", [
			{ Config: `${sha256(config)}.json`, RepoTags: ["a:1", "a:2"], Layers: ["1/layer.tar", "2/layer.tar"] },
		]);
		await using content = openTar();
		const [image] = await readPlan(content);
		expect(image?.names).toEqual(["a:1", "a:2"]);
		expect(image?.layers[1]?.source).toEqual(image?.layers[0]?.source);
		const source = image?.layers[0]?.source;
		if (source?.from !== "range") throw new Error("a layer of an archive is a range of it");
		const { path: file, offset, sizeBytes } = source;
		expect(
			fs
				.readFileSync(file)
				.subarray(offset, offset + sizeBytes)
				.equals(layer),
		).toBe(true);
	});

	it.each([["/etc/hostname"], ["../../etc/hostname"], ["layer.tar"], ["../2"]])(
		"with a layer that is a symlink to %s are refused",
		async (target) => {
			const config = { os: "linux", rootfs: { diff_ids: [`sha256:${"0".repeat(64)}`] } };
			link("2/layer.tar", target);
			write("config.json", config);
			write("manifest.json", [{ Config: "config.json", Layers: ["2/layer.tar"] }]);
			await using content = openTar();
			await expect(readPlan(content)).rejects.toMatchObject({ code: "EARCHIVE" });
		},
	);

	it("whose config is not what its name promises are refused", async () => {
		write(`${"0".repeat(64)}.json`, { os: "linux", rootfs: { diff_ids: [] } });
		write("manifest.json", [{ Config: `${"0".repeat(64)}.json`, RepoTags: null, Layers: [] }]);
		await using content = openTar();
		await expect(readPlan(content)).rejects.toMatchObject({ code: "EDIGEST" });
	});

	it("with a document of many megabytes are refused before it is read", async () => {
		write("manifest.json", Buffer.alloc(5 << 20, 0x20));
		await using content = openTar();
		await expect(readPlan(content)).rejects.toThrow(/no more than/);
	});
});

describe("archives from before docker 1.10", () => {
	const bottom = "b".repeat(64);
	const top = "a".repeat(64);

	it("give an image whose config is made of the layers' own", async () => {
		const layers = [layerTar("bottom"), layerTar("top")] as const;
		write(`${bottom}/json`, {
			id: bottom,
			created: "2015-01-01T00:00:00Z",
			os: "linux",
			architecture: "amd64",
		});
		write(`${bottom}/layer.tar`, layers[0]);
		write(`${top}/json`, {
			id: top,
			parent: bottom,
			os: "linux",
			architecture: "amd64",
			config: { Cmd: ["sh"] },
		});
		write(`${top}/layer.tar`, layers[1]);
		write("repositories", { old: { "1": top } });
		await using content = openTar();
		const [image] = await readPlan(content);
		expect(image?.names).toEqual(["old:1"]);
		expect(image?.layers.map(({ diffId }) => diffId)).toEqual(layers.map((tar) => `sha256:${sha256(tar)}`));
		expect(JSON.parse(image?.readConfig().toString() ?? "")).toMatchObject({
			config: { Cmd: ["sh"] },
			history: [{ created: "2015-01-01T00:00:00Z" }, {}],
		});
	});

	it("whose layers go in circles are refused", async () => {
		for (const [id, parent] of [
			[top, bottom],
			[bottom, top],
		] as const) {
			write(`${id}/json`, { id, parent });
			write(`${id}/layer.tar`, layerTar("x"));
		}
		write("repositories", { old: { "1": top } });
		await using content = openTar();
		await expect(readPlan(content)).rejects.toMatchObject({ code: "EARCHIVE" });
	});
});

describe("OCI layouts", () => {
	const architecture = hostArchitecture();
	const foreign = architecture === "arm64" ? "amd64" : "arm64";
	type Entry = { readonly digest: string; readonly size: number; readonly mediaType: string };

	function blob(document: object, mediaType: string, extra: object = {}): Entry {
		const bytes = JSON.stringify(document);
		write(`blobs/sha256/${sha256(bytes)}`, bytes);
		return { digest: `sha256:${sha256(bytes)}`, size: Buffer.byteLength(bytes), mediaType, ...extra };
	}

	/** An image without layers, told from others by its author. */
	function image(author: string, extra: object = {}): Entry {
		const config = blob({ author, rootfs: { diff_ids: [] } }, "application/vnd.oci.image.config.v1+json");
		const manifest = { schemaVersion: 2, config, layers: [] };
		return blob(manifest, "application/vnd.oci.image.manifest.v1+json", extra);
	}

	const platform = (architecture: string, os = "linux"): object => ({ platform: { os, architecture } });
	const named = (name: string): object => ({ annotations: { "org.opencontainers.image.ref.name": name } });
	const attestation = (): Entry => image("in-toto", platform("unknown", "unknown"));

	async function authors(select?: string): Promise<readonly unknown[]> {
		await using content = openTar();
		const images = await readPlan(content, { select });
		return images.map(({ readConfig }) => (JSON.parse(readConfig().toString()) as { author: string }).author);
	}

	it("of several platforms in a flat index mean this machine's, named or not", async () => {
		const flat = [attestation(), image("other", platform(foreign)), image("own", platform(architecture))];
		write("index.json", { manifests: flat });
		expect(await authors()).toEqual(["own"]);
		write("index.json", { manifests: flat.map((entry) => ({ ...entry, ...named("x:1") })) });
		expect(await authors()).toEqual(["own"]);
	});

	it("of several images in a flat index hold them all", async () => {
		write("index.json", {
			manifests: [image("a"), image("b"), { ...image("c", platform(foreign)), ...named("c") }],
		});
		expect(await authors()).toEqual(["a", "b", "c"]);
		const own = [image("a", platform(architecture)), image("b", platform(architecture))];
		write("index.json", { manifests: [...own, image("c", platform(foreign))] });
		expect(await authors()).toEqual(["a", "b"]);
	});

	it("without one for this machine list digests with platforms, and give the one that is selected", async () => {
		const z80 = image("z80", platform("z80"));
		const pdp = image("pdp", { platform: { os: "linux", architecture: "pdp", variant: "v11" } });
		const nested = blob({ manifests: [z80, pdp] }, "application/vnd.oci.image.index.v1+json");
		const offers = new RegExp(
			`no image for linux/${architecture}.* offers ${z80.digest} \\(linux/z80\\), ${pdp.digest} \\(linux/pdp/v11\\)`,
		);
		for (const manifests of [[z80, attestation(), pdp], [nested]]) {
			write("index.json", { manifests });
			await expect(authors()).rejects.toThrow(offers);
			expect(await authors(pdp.digest)).toEqual(["pdp"]);
		}
	});

	it("with a config that begins with a byte order mark are refused", async () => {
		const bytes = '\ufeff{"rootfs":{"diff_ids":[]}}';
		write(`blobs/sha256/${sha256(bytes)}`, bytes);
		const config = { digest: `sha256:${sha256(bytes)}`, size: Buffer.byteLength(bytes) };
		const type = "application/vnd.oci.image.manifest.v1+json";
		write("index.json", { manifests: [blob({ schemaVersion: 2, config, layers: [] }, type)] });
		await expect(authors()).rejects.toThrow(/config .* is not JSON: .*byte order mark/);
	});
});

describe("selecting", () => {
	it("takes an image by name or id, and says what there is otherwise", async () => {
		const configs = ["a", "b"].map((author) => JSON.stringify({ author, rootfs: { diff_ids: [] } }));
		for (const [i, config] of configs.entries()) write(`${i}.json`, config);
		write("manifest.json", [
			{ Config: "0.json", RepoTags: ["x:0"], Layers: [] },
			{ Config: "1.json", RepoTags: ["x:1"], Layers: [] },
		]);
		await using content = openTar();
		const names = async (select?: string): Promise<readonly string[]> =>
			(await readPlan(content, { select })).flatMap((image) => image.names);
		expect(await names()).toEqual(["x:0", "x:1"]);
		expect(await names("x:1")).toEqual(["x:1"]);
		expect(await names(sha256(configs[0] ?? ""))).toEqual(["x:0"]);
		await expect(names("y")).rejects.toThrow(/it has x:0, x:1/);
	});
});

describe("names in archives", () => {
	it("are cleaned, and never lead out", () => {
		expect(cleanName("./a//b/./c/")).toBe("a/b/c");
		expect(cleanName("/a/../b")).toBe("b");
		for (const name of ["", ".", "/", "..", "a/../..", "../a"]) expect(cleanName(name)).toBeUndefined();
		fc.assert(
			fc.property(fc.array(fc.constantFrom("a", "b", ".", "..", "")), (parts) => {
				const clean = cleanName(parts.join("/"));
				if (clean === undefined) return;
				expect(cleanName(clean)).toBe(clean);
				expect(path.posix.normalize(`/${parts.join("/")}`).replace(/(.)\/$/, "$1")).toBe(`/${clean}`);
			}),
		);
	});
});
