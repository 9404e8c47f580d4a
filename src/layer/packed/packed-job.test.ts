import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import zlib from "node:zlib";
import { expect, test } from "vitest";
import { JobPool } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import { applyLayer } from "../apply/apply-job.ts";
import { LOWERS_FAILED, LOWERS_WHOLE } from "../apply/await-lowers.ts";
import type { ApplyRequest, LayerJobs } from "../jobs/job-contract.ts";
import { LAYER_JOBS } from "../jobs/layer-jobs.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { packMembers, tarOf, withPackedMount } from "../testing/packed-layers.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import { entryOf, fileOf, linkOf, type Member, quietContext } from "../testing/tar-of.ts";
import { checkImage, checkPacked } from "./check-packed.ts";
import { makeImage } from "./image-job.ts";
import { readIndexHeader } from "./index-file.ts";
import { DATA_FILE, INDEX_FILE, TAR_FILE } from "./layer-files.ts";

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

const SPARSE: Member = [
	entryOf("sparse", { sizeBytes: 1 << 24, dataExtents: [{ offset: 1 << 20, sizeBytes: 4 }] }),
	Buffer.from("data"),
];
const MEMBERS: readonly Member[] = [
	entryOf("d/"),
	fileOf("d/f", "content"),
	SPARSE,
	fileOf("big", "0123456789abcdef".repeat(400_000)),
	linkOf("d/h", "d/f", "hardlink"),
];

function request(place: Workplace, blob: Uint8Array, more: Partial<ApplyRequest> = {}): ApplyRequest {
	const file = path.join(place.make("blob"), "blob");
	fs.writeFileSync(file, blob);
	return {
		target: { form: "packed", directory: place.make("layer"), lowers: [] },
		source: { from: "range", path: file, offset: 0, sizeBytes: blob.length, compression: "detect" },
		...more,
	};
}

const COMPRESSIONS: Readonly<Record<string, (tar: Buffer) => Buffer>> = {
	none: (tar) => tar,
	gzip: (tar) => zlib.gzipSync(tar),
	zstd: (tar) => zlib.zstdCompressSync(tar),
};

test.each(
	Object.keys(COMPRESSIONS).flatMap((compression) =>
		[false, true].map((digestAside) => ({ compression, digestAside })),
	),
)("a layer that comes as $compression is kept as its tar (digest aside: $digestAside)", async (how) => {
	using place = new Workplace();
	const tar = tarOf(MEMBERS);
	const blob = COMPRESSIONS[how.compression]?.(tar) ?? tar;
	const job = request(place, blob, {
		digestAside: how.digestAside,
		expectedDiffId: sha256(tar),
		expectedBlobDigest: sha256(blob),
	});
	await using pool = new JobPool<LayerJobs>(LAYER_JOBS, { threads: 1 });
	const applied = await pool.run("apply", job);
	const { directory } = job.target;
	expect(fs.readdirSync(directory).sort()).toEqual([DATA_FILE, INDEX_FILE, TAR_FILE]);
	expect(fs.readFileSync(path.join(directory, TAR_FILE)).equals(tar)).toBe(true);
	const stats = fs.readdirSync(directory).map((name) => fs.statSync(path.join(directory, name)));
	expect(stats.map(({ mode }) => mode & 0o777)).toEqual([0o400, 0o400, 0o400]);
	const sizeBytes = stats.reduce((sum, { blocks }) => sum + 512 * blocks, 0);
	const content = (1 << 24) + 7 + 6_400_000;
	expect(applied).toEqual({
		diffId: sha256(tar),
		tarSizeBytes: tar.length,
		contentSizeBytes: content,
		entries: 5,
		usage: { sizeBytes: expect.any(Number), inodes: 3 },
		warnings: [],
	});
	expect(sizeBytes).toBeLessThan(tar.length + 100_000);
	// What the filesystem writes down of where a file lies comes when the file is brought to the disk.
	expect(Math.abs(applied.usage.sizeBytes - sizeBytes)).toBeLessThan(65_536);
	expect(readIndexHeader(directory)).toMatchObject({ diffId: sha256(tar), contentSizeBytes: content });
	expect(await pool.run("checkPacked", { layer: directory })).toEqual([]);
	const image = path.join(place.make("image"), "root.erofs");
	expect(await pool.run("image", { layers: [directory], target: image })).toEqual({
		entries: 6,
		sizeBytes: fs.statSync(image).size,
	});
	expect(await pool.run("checkImage", { layers: [directory], image })).toEqual([]);
	withPackedMount(place, [directory], (merged) => {
		expect(Object.keys(snapshotTree(merged))).toEqual([".", "big", "d", "d/f", "d/h", "sparse"]);
		const bytes = Buffer.alloc(8);
		const fd = fs.openSync(path.join(merged, "sparse"), "r");
		fs.readSync(fd, bytes, 0, 8, (1 << 20) - 2);
		fs.closeSync(fd);
		expect(bytes.toString("latin1")).toBe("\0\0data\0\0");
	});
});

test("damaged input, and a digest that was not promised, fail with their codes and leave no descriptor open", async () => {
	using place = new Workplace();
	const tar = tarOf(MEMBERS);
	const gz = zlib.gzipSync(tar);
	const open = (): number => fs.readdirSync("/proc/self/fd").length;
	const before = open();
	const cases: readonly (readonly [Uint8Array, string, Partial<ApplyRequest>?])[] = [
		[tar.subarray(0, 100_000), "ETAR"],
		[gz.subarray(0, gz.length - 20), "ECOMPRESSION"],
		[tar, "EDIGEST", { expectedDiffId: sha256(gz) }],
		[tarOf([fileOf("../x", "x")]), "EUNSAFE"],
	];
	for (const [blob, code, more] of cases) {
		await expect(applyLayer(request(place, blob, more), quietContext)).rejects.toMatchObject({ code });
	}
	expect(open()).toBe(before);
});

/** Applies a member over another layer, which becomes whole (or fails) only while the job is at work. */
async function applyOver(place: Workplace, lower: string, member: Member, state: number) {
	const lowersReady = new SharedArrayBuffer(4);
	const directory = place.make("layer");
	const target = { form: "packed", directory, lowers: [lower], lowersReady } as const;
	const checkAborted = (): void => void Atomics.store(new Int32Array(lowersReady), 0, state);
	const job = { ...request(place, tarOf([member])), target };
	const applied = await applyLayer(job, { ...quietContext, checkAborted });
	return { applied, directory };
}

test("only a layer that needs something of those below waits for them", async () => {
	using place = new Workplace();
	const lower = place.make("lower");
	packMembers(lower, [], [entryOf("d/"), fileOf("d/f", "12345"), linkOf("l", "d", "symlink")]);
	const alone = [entryOf("d/"), fileOf("d/g", "x"), linkOf("d/h", "d/g", "hardlink"), entryOf("d/.wh.f")];
	const lowersReady = new SharedArrayBuffer(4);
	const directory = place.make("layer");
	const target = { form: "packed", directory, lowers: [lower], lowersReady } as const;
	// Nobody ever says that the lowers are whole.
	await applyLayer({ ...request(place, tarOf(alone)), target }, quietContext);
	expect(readIndexHeader(directory).needsLowers).toBe(false);
	const needing: readonly (readonly [Member, number])[] = [
		[fileOf("l/g", "x"), 1],
		[linkOf("h", "d/f", "hardlink"), 5],
		[entryOf("d/.wh.f"), 0],
	];
	for (const [member, contentSizeBytes] of needing) {
		const over = await applyOver(place, lower, member, LOWERS_WHOLE);
		expect(readIndexHeader(over.directory).needsLowers).toBe(true);
		expect(over.applied.contentSizeBytes).toBe(contentSizeBytes);
	}
	await expect(applyOver(place, lower, fileOf("l/g", "x"), LOWERS_FAILED)).rejects.toMatchObject({
		code: "EABORTED",
	});
});

test("what only a merge shows to be wrong fails the apply", async () => {
	using place = new Workplace();
	const lower = place.make("lower");
	packMembers(lower, [], [entryOf("d/"), linkOf("a", "b", "symlink"), linkOf("b", "a", "symlink")]);
	const cases: readonly (readonly [Member, string])[] = [
		[linkOf("h", "nothing", "hardlink"), "ETAR"],
		[linkOf("h", "d", "hardlink"), "ETAR"],
		[fileOf("a/x", "x"), "EUNSAFE"],
	];
	for (const [member, code] of cases) {
		const target = { form: "packed", directory: place.make("layer"), lowers: [lower] } as const;
		const job = { ...request(place, tarOf([member])), target };
		await expect(applyLayer(job, quietContext)).rejects.toMatchObject({ code });
		expect(fs.existsSync(path.join(target.directory, INDEX_FILE))).toBe(false);
	}
});

test("a check names the file that is not what came in", () => {
	using place = new Workplace();
	const layer = place.make("layer");
	packMembers(layer, [], MEMBERS);
	const image = path.join(place.make("image"), "root.erofs");
	makeImage({ layers: [layer], target: image }, quietContext);
	const alter = (file: string, at: number, restoreTime = true): void => {
		const { atimeNs, mtimeNs } = fs.statSync(file, { bigint: true });
		fs.chmodSync(file, 0o600);
		const fd = fs.openSync(file, "r+");
		const byte = Buffer.alloc(1);
		fs.readSync(fd, byte, 0, 1, at);
		fs.writeSync(fd, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, at);
		fs.closeSync(fd);
		if (restoreTime) setTime(file, atimeNs, mtimeNs);
	};
	const problems = (): string => checkPacked(layer, quietContext).join("\n");
	const [tar, data, index] = [TAR_FILE, DATA_FILE, INDEX_FILE].map((name) => path.join(layer, name)) as [
		string,
		string,
		string,
	];
	alter(image, 1100);
	expect(checkImage({ layers: [layer], image }, quietContext)).toEqual([
		expect.stringContaining(`"${image}" is not what its layers give`),
	]);
	alter(data, (1 << 20) + 1);
	expect(problems()).toBe(`"${data}" does not have what the tar has`);
	alter(data, (1 << 20) + 1);
	expect(problems()).toBe("");
	alter(tar, 1 << 20);
	expect(problems()).toMatch(/layer\.tar" has the digest sha256:/);
	alter(tar, 1 << 20, false);
	expect(problems()).toMatch(/layer\.tar" was changed, replaced/);
	fs.truncateSync(tar, 1000);
	expect(problems()).toMatch(/layer\.tar" has 1000 bytes, and \d+ came in/);
	alter(index, 126);
	expect(problems()).toMatch(/layer\.index" cannot be used: its checksum is wrong/);
	fs.rmSync(index);
	expect(problems()).toMatch(/layer\.index" cannot be used: it is missing/);
});

function setTime(file: string, atimeNs: bigint, mtimeNs: bigint): void {
	const fd = linux.openat(linux.AT_FDCWD, file, linux.O_RDONLY);
	linux.futimens(fd, atimeNs, mtimeNs);
	linux.close(fd);
}

test("the same layers give the same image", () => {
	using place = new Workplace();
	const layer = place.make("layer");
	packMembers(layer, [], MEMBERS);
	const images = [1, 2].map(() => {
		const target = path.join(place.make("image"), "root.erofs");
		makeImage({ layers: [layer], target }, quietContext);
		return fs.readFileSync(target).toString("hex");
	});
	expect(images[0]).toBe(images[1]);
});
