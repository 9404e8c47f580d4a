import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../../test/support/processes.ts";
import { makeSmallImage, type SmallImage } from "../../../test/support/small-image.ts";
import type { ErrorCode } from "../../errors/index.ts";
import { leftovers, openTestImages, type TestImages } from "../testing/open-images.ts";

let directory: string;
let image: SmallImage;
let test: TestImages;

beforeAll(async () => {
	directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	image = makeSmallImage(directory);
	test = await openTestImages();
});

afterAll(async () => {
	await test?.[Symbol.asyncDispose]();
	fs.rmSync(directory, { recursive: true, force: true });
});

// One that was not refused must not spoil the others.
afterEach(async () => {
	for (const { id } of test.images.list()) await test.images.remove(id);
});

interface Manifest {
	config: { digest: string; size: number };
	layers: { digest: string; size: number; mediaType: string }[];
}

const blobPath = (layout: string, digest: string): string =>
	path.join(layout, "blobs", digest.replace(":", "/"));
const readJson = <T>(file: string): T => JSON.parse(fs.readFileSync(file, "utf8")) as T;

function manifestOf(layout: string): Manifest {
	const index = readJson<{ manifests: { digest: string }[] }>(path.join(layout, "index.json"));
	return readJson(blobPath(layout, index.manifests[0]?.digest ?? ""));
}

/** Puts bytes in as a blob. */
function addBlob(layout: string, bytes: Buffer): { digest: string; size: number } {
	const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
	fs.writeFileSync(blobPath(layout, digest), bytes);
	return { digest, size: bytes.length };
}

/** Rewrites the manifest, and the index to have it. */
function setManifest(layout: string, manifest: Manifest): void {
	const file = path.join(layout, "index.json");
	const index = readJson<{ manifests: object[] }>(file);
	index.manifests[0] = { ...index.manifests[0], ...addBlob(layout, Buffer.from(JSON.stringify(manifest))) };
	fs.writeFileSync(file, JSON.stringify(index));
}

function topBlob(layout: string): string {
	return blobPath(layout, manifestOf(layout).layers.at(-1)?.digest ?? "");
}

type Breakage = [name: string, code: ErrorCode, message: RegExp, damage: (layout: string) => void];

const LAYOUT_BREAKAGES: readonly Breakage[] = [
	[
		"a layer's bytes changed",
		"EDIGEST",
		/sha256:/,
		(layout) => {
			const file = topBlob(layout);
			const bytes = fs.readFileSync(file);
			// In gzip's header, where only the digest can tell.
			bytes[4] = (bytes[4] ?? 0) ^ 1;
			fs.writeFileSync(file, bytes);
		},
	],
	[
		"a layer cut short",
		"EDIGEST",
		/bytes, and \d+ were expected/,
		(layout) => fs.truncateSync(topBlob(layout), 1000),
	],
	["a layer missing", "EARCHIVE", /lacks layer sha256:/, (layout) => fs.rmSync(topBlob(layout))],
	[
		"a config changed",
		"EDIGEST",
		/config in/,
		(layout) => {
			const file = blobPath(layout, manifestOf(layout).config.digest);
			fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace("FROM_IMAGE", "FROM_IMAGf"));
		},
	],
	[
		"a diffID that the layer has not",
		"EDIGEST",
		/sha256:/,
		(layout) => {
			const manifest = manifestOf(layout);
			const config = fs.readFileSync(blobPath(layout, manifest.config.digest), "utf8");
			const last = readJson<{ rootfs: { diff_ids: string[] } }>(
				blobPath(layout, manifest.config.digest),
			).rootfs.diff_ids.at(-1);
			const wrong = config.replace(last ?? "", `sha256:${"0".repeat(64)}`);
			setManifest(layout, {
				...manifest,
				config: { ...manifest.config, ...addBlob(layout, Buffer.from(wrong)) },
			});
		},
	],
	[
		"a layer compressed by bzip2",
		"ECOMPRESSION",
		/layer 2 of 2 \(blobs\/sha256\/[0-9a-f]{64}\): .*bzip2/,
		(layout) => replaceTop(layout, (tar, out) => run("sh", ["-c", 'bzip2 -c "$1" >"$2"', "sh", tar, out])),
	],
	[
		"a layer that is damaged gzip",
		"ECOMPRESSION",
		/gzip|compressed/i,
		(layout) =>
			replaceTop(layout, (tar, out) => {
				run("sh", ["-c", 'gzip -c "$1" | head -c 500 >"$2"', "sh", tar, out]);
			}),
	],
	[
		"a layer that is no tar",
		"ETAR",
		/tar/,
		(layout) => replaceTop(layout, (_tar, out) => fs.writeFileSync(out, "x".repeat(4096))),
	],
	[
		"a layer that leads out",
		"EUNSAFE",
		/\.\./,
		(layout) =>
			replaceTop(layout, (_tar, out) => {
				fs.writeFileSync(path.join(layout, "x"), "x");
				run("tar", ["-C", layout, "-P", "--transform", "s,^x$,../../x,", "-cf", out, "x"]);
			}),
	],
	[
		"a layer of a type that is no tar",
		"ECOMPRESSION",
		/encrypted/,
		(layout) => {
			const manifest = manifestOf(layout);
			for (const layer of manifest.layers) layer.mediaType += "+encrypted";
			setManifest(layout, manifest);
		},
	],
	[
		"a layer that is a symlink to a file of the host",
		"EARCHIVE",
		/leads out/,
		(layout) => {
			fs.rmSync(topBlob(layout));
			fs.symlinkSync("/bin/busybox", topBlob(layout));
		},
	],
	[
		"a layer that is a FIFO",
		"EARCHIVE",
		/not a regular file/,
		(layout) => {
			fs.rmSync(topBlob(layout));
			run("mkfifo", [topBlob(layout)]);
		},
	],
	[
		"an index that is no JSON",
		"EARCHIVE",
		/index\.json/,
		(layout) => fs.writeFileSync(path.join(layout, "index.json"), "{"),
	],
	["no index", "EARCHIVE", /neither manifest\.json/, (layout) => fs.rmSync(path.join(layout, "index.json"))],
	[
		"an index for another machine only",
		"EARCHIVE",
		/offers sha256:[0-9a-f]{64} \(linux\/z80\)/,
		(layout) => {
			const file = path.join(layout, "index.json");
			const index = readJson<{ manifests: object[] }>(file);
			const inner = {
				schemaVersion: 2,
				manifests: index.manifests.map((m) => ({ ...m, platform: { os: "linux", architecture: "z80" } })),
			};
			const mediaType = "application/vnd.oci.image.index.v1+json";
			const outer = {
				schemaVersion: 2,
				manifests: [{ mediaType, ...addBlob(layout, Buffer.from(JSON.stringify(inner))) }],
			};
			fs.writeFileSync(file, JSON.stringify(outer));
		},
	],
];

/** Puts another layer in the place of the top one; all digests but the diffID are right. */
function replaceTop(layout: string, make: (tar: string, out: string) => void): void {
	const manifest = manifestOf(layout);
	const top = manifest.layers.at(-1);
	if (top === undefined) throw new Error("no layer");
	const tar = path.join(layout, "top.tar");
	run("sh", ["-c", 'gzip -dc <"$1" >"$2"', "sh", topBlob(layout), tar]);
	make(tar, path.join(layout, "new"));
	Object.assign(top, addBlob(layout, fs.readFileSync(path.join(layout, "new"))));
	setManifest(layout, manifest);
}

async function expectRefusal(input: string | Readable, code: ErrorCode, message: RegExp): Promise<void> {
	const refused = test.images.import(input);
	await expect(refused).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
	if (typeof input === "string") await expect(refused).rejects.toThrow(path.basename(input));
	expect([...test.store.list()]).toEqual([]);
	expect(test.images.list()).toEqual([]);
	expect(leftovers(test.root)).toEqual([]);
}

describe("an import that cannot be", () => {
	it.each(LAYOUT_BREAKAGES)(
		"because of %s is refused with %s and leaves nothing",
		async (_name, code, message, damage) => {
			const layout = fs.mkdtempSync(path.join(directory, "broken-"));
			fs.cpSync(image.layout, layout, { recursive: true });
			damage(layout);
			await expectRefusal(layout, code, message);
		},
	);

	it.each([
		["an archive that is truncated", "EARCHIVE", /truncated/, 'head -c 300000 "$1" >"$2"'],
		["a compressed archive that is truncated", "ECOMPRESSION", /./, 'gzip -c "$1" | head -c 300000 >"$2"'],
		["an archive compressed by xz", "ECOMPRESSION", /xz/, 'xz -0 -c "$1" >"$2"'],
		["no tar", "ETAR", /not an image archive/, 'head -c 5000 /bin/busybox >"$2"'],
		["an empty file", "EARCHIVE", /empty/, ': >"$2"'],
		["a tar that is no image", "EARCHIVE", /lamella apply/, 'tar -C / -cf "$2" etc/hostname'],
	] as const)(
		"because it is %s is refused with %s and leaves nothing",
		async (_name, code, message, script) => {
			const file = path.join(directory, "broken.tar");
			run("sh", ["-c", script, "sh", image.dockerArchive, file]);
			await expectRefusal(file, code, message);
			await expectRefusal(Readable.from([fs.readFileSync(file)]), code, message);
		},
	);

	it("because there is no such file says so", async () => {
		await expectRefusal(path.join(directory, "nothing.tar"), "ENOTFOUND", /no such file/);
	});

	it("because it was cancelled leaves nothing", async () => {
		const abort = new AbortController();
		const imported = test.images.import(image.archive, {
			signal: abort.signal,
			onProgress: ({ phase }) => {
				if (phase === "applying" || phase === "waiting") abort.abort();
			},
		});
		await expect(imported).rejects.toMatchObject({ code: "EABORTED" });
		const silent = new Readable({ read: () => {} });
		const waiting = test.images.import(silent, { signal: AbortSignal.timeout(20) });
		await expect(waiting).rejects.toMatchObject({ code: "EABORTED" });
		expect([...test.store.list()]).toEqual([]);
		expect(leftovers(test.root)).toEqual([]);
	});
});
