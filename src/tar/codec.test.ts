import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type DataExtent, type TarEntry, TarReader, type Xattr } from "./index.ts";
import { type Member, writeArchive } from "./testing/archive.ts";

/** Bytes without NUL: all that a name may hold. */
function names(maxLength: number): fc.Arbitrary<Buffer> {
	const byte = fc.oneof(
		{ weight: 6, arbitrary: fc.integer({ min: 0x61, max: 0x7a }) },
		{ weight: 2, arbitrary: fc.constant(0x2f) },
		{ weight: 1, arbitrary: fc.integer({ min: 1, max: 255 }) },
	);
	return fc
		.oneof(
			fc.array(byte, { minLength: 1, maxLength: 30 }),
			fc.array(fc.integer({ min: 0x61, max: 0x7a }), { minLength: 1, maxLength: 110 }),
			fc.array(byte, { minLength: Math.min(80, maxLength / 2), maxLength }),
		)
		.map((bytes) => Buffer.from(bytes));
}

const numbers = fc.oneof(fc.nat(65_535), fc.nat(), fc.integer({ min: 0, max: 2 ** 40 }));
const times = fc.oneof(
	fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
	fc.integer({ min: 0, max: 2_000_000_000 }).map((seconds) => BigInt(seconds) * 1_000_000_000n),
	fc.bigInt({ min: -2_000_000_000n, max: 2_000_000_000n }),
);
const xattrs: fc.Arbitrary<Xattr[]> = fc
	.uniqueArray(
		fc.record({
			name: names(120),
			value: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
		}),
		{ maxLength: 4, selector: ({ name }) => name.toString("latin1") },
	)
	.map((list) => list.sort((a, b) => Buffer.compare(a.name, b.name)));

const sparseMaps: fc.Arbitrary<{ sizeBytes: number; dataExtents: DataExtent[] }> = fc
	.record({
		pieces: fc.array(fc.tuple(fc.nat(5000), fc.integer({ min: 1, max: 1500 })), { maxLength: 60 }),
		tail: fc.oneof(fc.constant(0), fc.nat(5000)),
		scale: fc.constantFrom(1, 1, 1_000_003),
	})
	.map(({ pieces, tail, scale }) => {
		let at = 0;
		const dataExtents = pieces.map(([hole, sizeBytes]) => {
			const offset = at + hole * scale;
			at = offset + sizeBytes;
			return { offset, sizeBytes };
		});
		return { sizeBytes: at + tail * scale, dataExtents };
	});

const base = {
	mode: fc.integer({ min: 0, max: 0o7777 }),
	uid: fc.oneof(numbers, fc.constant(-2)),
	gid: numbers,
	uname: fc.option(names(60), { nil: undefined }),
	gname: fc.option(names(60), { nil: undefined }),
	mtimeNs: times,
	atimeNs: fc.option(times, { nil: undefined }),
	ctimeNs: fc.option(times, { nil: undefined }),
	xattrs,
};
const none = Buffer.alloc(0);
const common = { linkPath: fc.constant(none), deviceMajor: fc.constant(0), deviceMinor: fc.constant(0) };

function bytesOf(length: number): Buffer {
	return Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
}

const filePaths = names(600).map((path) =>
	path.at(-1) === 0x2f ? Buffer.concat([path, Buffer.from("f")]) : path,
);
function withoutContent(own: {
	readonly type: fc.Arbitrary<TarEntry["type"]>;
	readonly linkPath?: fc.Arbitrary<Buffer>;
	readonly deviceMajor?: fc.Arbitrary<number>;
	readonly deviceMinor?: fc.Arbitrary<number>;
}): fc.Arbitrary<Member> {
	return fc
		.record({ path: names(600), ...base, ...common, ...own })
		.map((entry) => ({ entry: { ...entry, sizeBytes: 0, dataExtents: undefined }, content: none }));
}

const members: fc.Arbitrary<Member> = fc.oneof(
	fc.record({ path: filePaths, ...base, ...common, length: fc.oneof(fc.constant(0), fc.nat(3000)) }).map(
		({ length, ...entry }): Member => ({
			entry: { ...entry, type: "file", sizeBytes: length, dataExtents: undefined },
			content: bytesOf(length),
		}),
	),
	fc.record({ path: filePaths, ...base, ...common, map: sparseMaps }).map(
		({ map, ...entry }): Member => ({
			entry: { ...entry, type: "file", ...map },
			content: bytesOf(map.dataExtents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
		}),
	),
	withoutContent({ type: fc.constantFrom("symlink", "hardlink"), linkPath: names(600) }),
	withoutContent({
		type: fc.constantFrom("character", "block"),
		deviceMajor: numbers,
		deviceMinor: numbers,
	}),
	withoutContent({ type: fc.constantFrom("directory", "fifo") }),
);

/** Reads in chunks of the given lengths in turn, in one buffer that is overwritten as a real caller does. */
function read(
	archive: Buffer,
	chunkLengths: readonly number[] = [1 << 20],
): { members: Member[]; rebuilt: Buffer } {
	const found: Member[] = [];
	const rebuilt: Buffer[] = [];
	let open: { entry: TarEntry; chunks: Buffer[]; ended: boolean; placed: number } | undefined;
	const reader = new TarReader({
		entry: (entry) => {
			expect(open).toBeUndefined();
			open = { entry, chunks: [], ended: false, placed: 0 };
		},
		data: (chunk, offset) => {
			const extents = open?.entry.dataExtents ?? [{ offset: 0, sizeBytes: open?.entry.sizeBytes ?? 0 }];
			expect(extents.some((e) => e.offset <= offset && offset + chunk.length <= e.offset + e.sizeBytes)).toBe(
				true,
			);
			open?.chunks.push(Buffer.from(chunk));
			rebuilt.push(Buffer.from(chunk));
		},
		entryEnd: () => {
			if (open === undefined) throw new Error("entryEnd without entry");
			found.push({ entry: open.entry, content: Buffer.concat(open.chunks) });
			open = undefined;
		},
		raw: (bytes) => rebuilt.push(Buffer.from(bytes)),
	});
	for (let at = 0, i = 0; at < archive.length; i++) {
		const length = chunkLengths[i % chunkLengths.length] ?? 1;
		const chunk = Buffer.from(archive.subarray(at, at + length));
		reader.write(chunk);
		chunk.fill(0xaa);
		at += length;
	}
	reader.end();
	return { members: found, rebuilt: Buffer.concat(rebuilt) };
}

describe("an archive that the writer made", () => {
	test("gives back the same entries and content, in chunks of any length", () => {
		fc.assert(
			fc.property(
				fc.array(members, { maxLength: 6 }),
				fc.array(
					fc.oneof(
						fc.integer({ min: 1, max: 700 }),
						fc.nat(100_000).map((n) => n + 1),
					),
					{
						minLength: 1,
						maxLength: 5,
					},
				),
				fc.constantFrom(2048, 5000, 1 << 18),
				(list, chunkLengths, bufferSizeBytes) => {
					const archive = writeArchive(list, bufferSizeBytes);
					expect(archive.length % 512).toBe(0);
					const result = read(archive, chunkLengths);
					expect(result.members).toEqual(list);
					expect(result.rebuilt.equals(archive)).toBe(true);
				},
			),
			{ numRuns: 150 },
		);
	});

	test("is the same for the same entries whatever the buffer's size", () => {
		fc.assert(
			fc.property(fc.array(members, { maxLength: 4 }), (list) => {
				expect(writeArchive(list, 2048).equals(writeArchive(list, 1 << 20))).toBe(true);
			}),
			{ numRuns: 50 },
		);
	});
});
