import { spawnSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import zlib from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLamellaError, type LamellaError } from "../errors/index.ts";
import { compress, type DetectedCompression, decompress, detectCompression, readRange } from "./index.ts";

let directory = "";
beforeAll(() => {
	directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

/** Text that compresses, and noise that does not: so blocks of all kinds occur. */
const content = Buffer.concat([
	Buffer.from(Array.from({ length: 15_000 }, (_, i) => `line ${i} ${(i * 7919) % 977}\n`).join("")),
	crypto.createHash("shake256", { outputLength: 200_000 }).update("noise").digest(),
	Buffer.alloc(1_000_000),
]);

function run(program: string, args: readonly string[], input: Buffer): Buffer {
	const { stdout, status, stderr } = spawnSync(program, args, { input, maxBuffer: 1 << 30 });
	if (status !== 0) throw new Error(`${program}: ${stderr.toString()}`);
	return stdout;
}
const gzip = (input: Buffer, ...args: string[]): Buffer => run("/usr/bin/gzip", ["-c", ...args], input);
const zstd = (input: Buffer, ...args: string[]): Buffer => run("/usr/bin/zstd", ["-c", "-q", ...args], input);

/** Hands out pieces in one buffer that is overwritten each time, as readRange does. */
async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Uint8Array> {
	const buffer = Buffer.alloc(Math.max(1, pieceBytes));
	for (let at = 0; at < bytes.length; at += pieceBytes) {
		const length = bytes.copy(buffer, 0, at, at + pieceBytes);
		yield buffer.subarray(0, length);
		buffer.fill(0x55);
	}
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
	const copies: Buffer[] = [];
	for await (const chunk of chunks) copies.push(Buffer.from(chunk));
	return Buffer.concat(copies);
}

const skippable = Buffer.concat([Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.from("hello")]);
const half = content.subarray(0, 300_000);
const rest = content.subarray(300_000);
const small = Buffer.from("ab");

async function failure(promise: Promise<unknown>): Promise<string> {
	return (await lamellaError(promise)).code;
}

async function lamellaError(promise: Promise<unknown>): Promise<LamellaError> {
	const error: unknown = await promise.then(
		() => undefined,
		(reason: unknown) => reason,
	);
	if (!isLamellaError(error)) throw new Error(`expected a LamellaError, got ${String(error)}`);
	return error;
}

const garbage = Buffer.from("garbage");
/** What each makes is the whole content. */
const SOUND: readonly (readonly ["gzip" | "zstd", string, () => Buffer])[] = [
	["gzip", "gzip", () => gzip(content)],
	["gzip", "gzip -1", () => gzip(content, "-1")],
	["gzip", "pigz", () => run("/usr/bin/pigz", ["-c", "-b", "128"], content)],
	["gzip", "pigz with independent blocks", () => run("/usr/bin/pigz", ["-c", "-i"], content)],
	["gzip", "several members", () => Buffer.concat([gzip(half), gzip(Buffer.alloc(0)), gzip(rest)])],
	["gzip", "zero padding", () => Buffer.concat([gzip(content), Buffer.alloc(70_000)])],
	["zstd", "zstd", () => zstd(content)],
	["zstd", "zstd without checksum", () => zstd(content, "--no-check", "-1")],
	["zstd", "zstd -19 --long", () => zstd(content, "-10", "--long=24")],
	["zstd", "several frames", () => Buffer.concat([zstd(half), zstd(Buffer.alloc(0)), zstd(rest)])],
	["zstd", "many small frames", manyFrames],
	[
		"zstd",
		"skippable frames",
		() => Buffer.concat([skippable, zstd(half), skippable, zstd(rest), skippable]),
	],
	["zstd", "zero padding", () => Buffer.concat([zstd(content), Buffer.alloc(70_000)])],
];
const DAMAGED: readonly (readonly ["gzip" | "zstd", string, () => Buffer])[] = [
	["gzip", "a member without its checksum", () => gzip(content).subarray(0, -8)],
	["zstd", "a frame without its checksum", () => zstd(content).subarray(0, -4)],
	["zstd", "a truncated skippable frame", () => Buffer.concat([zstd(half), skippable.subarray(0, 10)])],
	["zstd", "a window of a terabyte", () => Buffer.from("28b52ffd00f8010000", "hex")],
	...(["gzip", "zstd"] as const).flatMap((name) => {
		const pack = name === "gzip" ? gzip : zstd;
		return [
			[name, "nothing at all", () => Buffer.alloc(0)],
			[name, "a truncated end", () => pack(content).subarray(0, -100)],
			[name, "a cut second header", () => Buffer.concat([pack(half), pack(rest).subarray(0, 5)])],
			[name, "garbage behind the end", () => Buffer.concat([pack(half), garbage])],
			[name, "garbage behind the padding", () => Buffer.concat([pack(half), Buffer.alloc(100), garbage])],
			[name, "another thing", () => Buffer.from(`this is no ${name} data at all`)],
			[name, "a flipped bit", () => flipped(pack(content))],
		] as const;
	}),
];

test.each(SOUND)("%s reads what came from %s", async (name, _from, make) => {
	const data = make();
	for (const pieceBytes of [3001, 65_536, 1 << 24]) {
		expect((await collect(decompress(inPieces(data, pieceBytes), name))).equals(content)).toBe(true);
	}
});

test.each(DAMAGED)("%s refuses %s", async (name, _what, make) => {
	const data = make();
	for (const pieceBytes of [65_536, 100_000, 1 << 24]) {
		expect(await failure(collect(decompress(inPieces(data, pieceBytes), name)))).toBe("ECOMPRESSION");
	}
});

test("gzip reads a member whose end is the end of a chunk", async () => {
	const first = gzip(half);
	const data = Buffer.concat([first, gzip(rest)]);
	expect((await collect(decompress(inPieces(data, first.length), "gzip"))).equals(content)).toBe(true);
});

test("passes on what the source throws", async () => {
	const source = async function* (): AsyncGenerator<Uint8Array> {
		yield gzip(half).subarray(0, 1000);
		throw new Error("the disk is on fire");
	};
	await expect(collect(decompress(source(), "gzip"))).rejects.toThrow("the disk is on fire");
});

test.each([
	["gzip", gzip],
	["zstd", zstd],
] as const)("%s ends the source when the consumer stops early", async (name, pack) => {
	let ended = false;
	const data = pack(Buffer.alloc(20_000_000));
	const source = async function* (): AsyncGenerator<Uint8Array> {
		try {
			yield* inPieces(data, 1000);
		} finally {
			ended = true;
		}
	};
	for await (const chunk of decompress(source(), name)) {
		expect(chunk.length).toBeGreaterThan(0);
		break;
	}
	expect(ended).toBe(true);
});

test("zstd takes a window of 128 MiB and refuses one of 256 MiB", async () => {
	const framed = (windowLog: number): AsyncGenerator<Buffer> => {
		const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3, 9, 0, 0]);
		return decompress(inPieces(Buffer.concat([header, Buffer.from("a")]), 100), "zstd");
	};
	expect((await collect(framed(27))).toString()).toBe("a");
	expect((await lamellaError(collect(framed(28)))).message).toMatch(/memory|window/);
});

test("zstd takes skippable frames alone for no content", async () => {
	expect(await collect(decompress(inPieces(skippable, 3), "zstd"))).toHaveLength(0);
});

function flipped(data: Buffer): Buffer {
	data[data.length >> 1] = (data[data.length >> 1] ?? 0) ^ 0x10;
	return data;
}

function manyFrames(): Buffer {
	const frames: Buffer[] = [];
	for (let at = 0; at < content.length; at += 150_000) frames.push(zstd(content.subarray(at, at + 150_000)));
	return Buffer.concat(frames);
}

describe("decompress", () => {
	test.each([
		["gzip", gzip],
		["zstd", zstd],
	] as const)("tells what stands behind the end of %s from damage", async (name, pack) => {
		for (const rest of ["garbage", "\u0000\u0000garbage"]) {
			const data = Buffer.concat([pack(small), Buffer.from(rest)]);
			for (const pieceBytes of [1, 7, data.length - rest.length, 1 << 20]) {
				const { message } = await lamellaError(collect(decompress(inPieces(data, pieceBytes), name)));
				expect(message).toContain("stands behind its end");
			}
		}
	});

	test("finds out the compression, also from the shortest chunks", async () => {
		for (const data of [
			gzip(content),
			zstd(content),
			content,
			gzip(small),
			zstd(small),
			small,
			Buffer.alloc(0),
		]) {
			const expected = data.length === 0 ? data : data.length < 1000 ? small : content;
			for (const pieceBytes of [3, 1 << 20]) {
				if (pieceBytes === 3 && data.length > 1000) continue;
				const result = await collect(decompress(inPieces(data, pieceBytes), "detect"));
				expect(result.equals(expected)).toBe(true);
			}
		}
	});

	test("names a compression that it does not read", async () => {
		const promise = collect(decompress(inPieces(content, 1 << 20), "xz"));
		await expect(promise).rejects.toMatchObject({
			code: "ECOMPRESSION",
			message: expect.stringContaining("xz"),
		});
	});

	test("refuses a bomb when there is a limit", async () => {
		const bomb = gzip(Buffer.alloc(60_000_000));
		const limited = decompress(inPieces(bomb, 65_536), "gzip", { maxRatio: 100 });
		expect(await failure(collect(limited))).toBe("ECOMPRESSION");
		expect(await collect(decompress(inPieces(bomb, 65_536), "gzip", { maxRatio: 1100 }))).toHaveLength(
			60_000_000,
		);
	});

	test("stops when it is cancelled", async () => {
		const controller = new AbortController();
		const chunks = decompress(inPieces(gzip(content), 1000), "gzip", { signal: controller.signal });
		await chunks.next();
		controller.abort();
		expect(await failure(collect(chunks))).toBe("EABORTED");
	});

	test("never lets damaged data pass as whole", async () => {
		const gz = gzip(half);
		const zst = zstd(half);
		await fc.assert(
			fc.asyncProperty(
				fc.constantFrom<["gzip" | "zstd", Buffer]>(["gzip", gz], ["zstd", zst]),
				fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
				fc.integer({ min: 1, max: 255 }),
				async ([compression, data], where, flip) => {
					const at = Math.floor(where * data.length);
					const damaged = Buffer.from(data);
					damaged[at] = (damaged[at] ?? 0) ^ flip;
					try {
						const result = await collect(decompress(inPieces(damaged, 50_000), compression));
						// Bytes of the header that say nothing about the content (time, system) may differ.
						expect(result.equals(half)).toBe(true);
					} catch (error) {
						expect(isLamellaError(error, "ECOMPRESSION"), String(error)).toBe(true);
					}
				},
			),
			{ numRuns: 40 },
		);
	});
});

test.each<[DetectedCompression, Buffer]>([
	["gzip", zlib.gzipSync("x")],
	["zstd", Buffer.from("28b52ffd20", "hex")],
	["zstd", skippable],
	["bzip2", Buffer.from("BZh91AY&SY")],
	["xz", Buffer.from("fd377a585a000004", "hex")],
	["lz4", Buffer.from("04224d18", "hex")],
	["none", Buffer.from("BZh9/file-of-a-tar")],
	["none", Buffer.from("\x1f")],
	["none", Buffer.alloc(0)],
])("%s is recognised", (name, firstBytes) => {
	expect(detectCompression(firstBytes)).toBe(name);
});

describe("compress", () => {
	test.each(["gzip", "zstd"] as const)(
		"%s output is read by the real program and is the same each time",
		async (name) => {
			const make = (): Promise<Buffer> =>
				collect(Readable.from([half, rest]).pipe(compress(name)) as AsyncIterable<Buffer>);
			const first = await make();
			expect((await make()).equals(first)).toBe(true);
			const program = name === "gzip" ? "/usr/bin/gzip" : "/usr/bin/zstd";
			expect(run(program, ["-d", "-c"], first).equals(content)).toBe(true);
			expect(detectCompression(first)).toBe(name);
		},
	);

	test("gzip writes neither time nor name", async () => {
		const data = await collect(Readable.from([half]).pipe(compress("gzip")) as AsyncIterable<Buffer>);
		expect(data.subarray(3, 8)).toEqual(Buffer.alloc(5));
	});

	test("a level out of range is refused", () => {
		expect(() => compress("gzip", { level: 12 })).toThrow(expect.objectContaining({ code: "EINVALID" }));
		expect(() => compress("zstd", { level: 0 })).toThrow(expect.objectContaining({ code: "EINVALID" }));
	});
});

describe("readRange", () => {
	test("gives the bytes of the range", async () => {
		const file = path.join(directory, "file");
		fs.writeFileSync(file, content);
		for (const [offset, length, bufferBytes] of [
			[0, content.length, 1 << 20],
			[12_345, 70_000, 999],
			[content.length, 0, 100],
		] as const) {
			const bytes = await collect(readRange(file, offset, length, bufferBytes));
			expect(bytes.equals(content.subarray(offset, offset + length))).toBe(true);
		}
	});

	test("says when the file is too short or cannot be read", async () => {
		const file = path.join(directory, "short");
		fs.writeFileSync(file, "abc");
		expect(await failure(collect(readRange(file, 1, 10)))).toBe("EARCHIVE");
		expect(await failure(collect(readRange(path.join(directory, "none"), 0, 10)))).toBe("ESYSTEM");
	});
});
