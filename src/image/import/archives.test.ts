import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "../../../test/support/processes.ts";
import { cleanName, TarArchive } from "../archive/tar-archive.ts";
import { readPlan, selectImages } from "./read-plan.ts";

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
		const [image] = await readPlan(content, undefined);
		expect(image?.names).toEqual(["a:1", "a:2"]);
		expect(image?.layers[1]?.source).toEqual(image?.layers[0]?.source);
		const { path: file = "", offset = 0, sizeBytes = 0 } = image?.layers[0]?.source ?? {};
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
			await expect(readPlan(content, undefined)).rejects.toMatchObject({ code: "EARCHIVE" });
		},
	);

	it("whose config is not what its name promises are refused", async () => {
		write(`${"0".repeat(64)}.json`, { os: "linux", rootfs: { diff_ids: [] } });
		write("manifest.json", [{ Config: `${"0".repeat(64)}.json`, RepoTags: null, Layers: [] }]);
		await using content = openTar();
		await expect(readPlan(content, undefined)).rejects.toMatchObject({ code: "EDIGEST" });
	});

	it("with a document of many megabytes are refused before it is read", async () => {
		write("manifest.json", Buffer.alloc(5 << 20, 0x20));
		await using content = openTar();
		await expect(readPlan(content, undefined)).rejects.toThrow(/no more than/);
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
		const [image] = await readPlan(content, undefined);
		expect(image?.names).toEqual(["old:1"]);
		expect(image?.layers.map(({ diffId }) => diffId)).toEqual(layers.map((tar) => `sha256:${sha256(tar)}`));
		expect(JSON.parse(image?.configBytes.toString() ?? "")).toMatchObject({
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
		await expect(readPlan(content, undefined)).rejects.toMatchObject({ code: "EARCHIVE" });
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
		const images = await readPlan(content, undefined);
		expect(selectImages(images, undefined, "f")).toHaveLength(2);
		expect(selectImages(images, "x:1", "f")).toEqual([images[1]]);
		expect(selectImages(images, sha256(configs[0] ?? ""), "f")).toEqual([images[0]]);
		expect(() => selectImages(images, "y", "f")).toThrow(/it has x:0, x:1/);
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
