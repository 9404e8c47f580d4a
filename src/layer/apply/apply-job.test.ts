import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { LamellaError } from "../../errors/index.ts";
import { JobPool } from "../../jobs/index.ts";
import type { ApplyRequest, LayerJobs } from "../jobs/job-contract.ts";
import { LAYER_JOBS } from "../jobs/layer-jobs.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import { quietContext } from "../testing/tar-of.ts";
import { applyLayer } from "./apply-job.ts";

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** A tar made by GNU tar, and a request to apply these bytes to a new directory. */
function layer(place: Workplace): { tree: string; tar: Buffer } {
	const tree = place.make("tree");
	execFileSync("sh", ["-euc", "mkdir d; echo f > d/f; ln d/f d/g; head -c 3000000 /dev/urandom > big"], {
		cwd: tree,
	});
	return { tree, tar: execFileSync("tar", ["-C", tree, "-c", "--format=pax", "."], { maxBuffer: 1 << 24 }) };
}

function request(place: Workplace, blob: Buffer, more: Partial<ApplyRequest> = {}): ApplyRequest {
	const file = path.join(place.make("blob"), "blob");
	fs.writeFileSync(file, Buffer.concat([Buffer.from("before"), blob, Buffer.from("after")]));
	const directory = place.make("target");
	return {
		target: { form: "overlay", directory, lowers: [], xattrPrefix: "trusted.overlay.", shareInodes: true },
		source: { from: "range", path: file, offset: 6, sizeBytes: blob.length, compression: "detect" },
		...more,
	};
}

test.each(["none", "gzip"])("applies a range of a file (%s) and tells its diffID", async (compression) => {
	using place = new Workplace();
	const { tree, tar } = layer(place);
	const blob = compression === "gzip" ? gzipSync(tar) : tar;
	const wanted = { expectedDiffId: sha256(tar), expectedBlobDigest: sha256(blob), sync: true };
	const job = request(place, blob, wanted);
	const result = await applyLayer(job, quietContext);
	expect(result).toMatchObject({
		diffId: sha256(tar),
		tarSizeBytes: tar.length,
		contentSizeBytes: 3_000_002,
		entries: 5,
	});
	expect(snapshotTree(job.target.directory)).toEqual(snapshotTree(tree));
});

describe("with the digest made aside", () => {
	async function inPool<T>(use: (pool: JobPool<LayerJobs>) => Promise<T>): Promise<T> {
		await using pool = new JobPool<LayerJobs>(LAYER_JOBS, { threads: 1 });
		return await use(pool);
	}
	/** More than the ring of slots holds. */
	function largeLayer(place: Workplace): { tree: string; tar: Buffer } {
		const tree = place.make("tree");
		execFileSync("sh", ["-euc", "head -c 9000001 /dev/urandom > big; echo f > small"], { cwd: tree });
		return {
			tree,
			tar: execFileSync("tar", ["-C", tree, "-c", "--format=pax", "."], { maxBuffer: 1 << 24 }),
		};
	}

	test("applies a layer larger than the ring, under the same diffID", async () => {
		using place = new Workplace();
		const { tree, tar } = largeLayer(place);
		const digest = sha256(tar);
		const more = { digestAside: true, expectedDiffId: digest, expectedBlobDigest: digest };
		const job = request(place, tar, more);
		const result = await inPool((pool) => pool.run("apply", job));
		expect(result).toMatchObject({ diffId: digest, tarSizeBytes: tar.length, entries: 3 });
		expect(snapshotTree(job.target.directory)).toEqual(snapshotTree(tree));
	});

	test("refuses a wrong digest, and what is no tar", async () => {
		using place = new Workplace();
		const { tar } = largeLayer(place);
		const wrong = request(place, tar, { digestAside: true, expectedDiffId: sha256(Buffer.from("other")) });
		const noTar = request(place, Buffer.alloc(9_000_000, 1), { digestAside: true });
		await inPool(async (pool) => {
			await expect(pool.run("apply", wrong)).rejects.toMatchObject({ code: "EDIGEST" });
			await expect(pool.run("apply", noTar)).rejects.toMatchObject({ code: "ETAR" });
		});
	});
});

test("applies what comes through a pipe, to its end", async () => {
	using place = new Workplace();
	const { tree, tar } = layer(place);
	const job = request(place, tar);
	const source = job.source.from === "range" ? job.source.path : "";
	const fd = fs.openSync(source, "r");
	fs.readSync(fd, Buffer.alloc(6), 0, 6, null);
	try {
		await applyLayer({ ...job, source: { from: "pipe", fd, compression: "none" } }, quietContext).catch(
			() => {},
		);
		expect(snapshotTree(job.target.directory)).toEqual(snapshotTree(tree));
	} finally {
		fs.closeSync(fd);
	}
});

test("a wrong digest is refused, and the message has both", async () => {
	using place = new Workplace();
	const { tar } = layer(place);
	const wrong = `sha256:${"0".repeat(64)}`;
	for (const expected of [{ expectedDiffId: wrong }, { expectedBlobDigest: wrong }]) {
		const failure = await applyLayer(request(place, gzipSync(tar), expected), quietContext).catch(
			(error) => error,
		);
		expect(failure).toMatchObject({
			code: "EDIGEST",
			message: expect.stringMatching(/sha256:(?!0{64})[0-9a-f]{64}.*sha256:0{64}/),
		});
	}
});

test("damaged input fails with its own code and leaves no descriptor open", async () => {
	using place = new Workplace();
	const { tar } = layer(place);
	const before = fs.readdirSync("/proc/self/fd").length;
	const gz = gzipSync(tar);
	const cases: readonly (readonly [Buffer, string])[] = [
		[tar.subarray(0, 100_000), "ETAR"],
		[gz.subarray(0, gz.length - 20), "ECOMPRESSION"],
		[Buffer.from("this is no tar at all".repeat(100)), "ETAR"],
	];
	for (const [blob, code] of cases) {
		await expect(applyLayer(request(place, blob), quietContext)).rejects.toMatchObject({ code });
	}
	expect(fs.readdirSync("/proc/self/fd").length).toBe(before);
});

test("cancelling ends it", async () => {
	using place = new Workplace();
	const { tar } = layer(place);
	let calls = 0;
	const context = {
		progress: () => {},
		checkAborted: () => {
			calls += 1;
			if (calls > 2) throw new LamellaError("EABORTED", "the operation was cancelled");
		},
	};
	await expect(applyLayer(request(place, tar), context)).rejects.toMatchObject({ code: "EABORTED" });
});

test("a full disk is said to be one", async () => {
	using place = new Workplace();
	const { tar } = layer(place);
	const image = path.join(place.directory, "small.img");
	const mountPoint = place.make("small");
	execFileSync("truncate", ["-s", "2M", image]);
	execFileSync("mkfs.ext4", ["-q", image], { stdio: "ignore" });
	execFileSync("mount", ["-o", "loop", image, mountPoint]);
	try {
		const job = request(place, tar);
		const target = { ...job.target, directory: path.join(mountPoint, "target") };
		fs.mkdirSync(target.directory);
		await expect(applyLayer({ ...job, target }, quietContext)).rejects.toMatchObject({
			code: "ENOSPACE",
			message: expect.stringMatching(/big.*disk is full/),
		});
	} finally {
		execFileSync("umount", [mountPoint]);
	}
});
