/** Old, odd and hostile archives, made block by block. */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { isLamellaError } from "../errors/index.ts";
import { BLOCK_BYTES, FIELDS, unsignedChecksum, writeOctal } from "./block.ts";
import { type TarEntry, type TarLimits, TarReader, TarWriter } from "./index.ts";
import { entryOf, writeArchive } from "./testing/archive.ts";

interface BlockOptions {
	readonly name?: string;
	readonly type?: string;
	readonly size?: number | Buffer;
	readonly mtime?: Buffer;
	readonly link?: string;
	readonly magic?: string;
	/** Latin-1 text at an offset of the block. */
	readonly at?: readonly (readonly [number, string])[];
}

function block(options: BlockOptions = {}): Buffer {
	const { name = "file", type = "0", size = 0, mtime, link = "", magic = "ustar\x0000", at = [] } = options;
	const bytes = Buffer.alloc(BLOCK_BYTES);
	bytes.write(name, 0, "latin1");
	bytes.write("0000644\0", 100, "latin1");
	bytes.write("0000001\x000000002\0", 108, "latin1");
	if (typeof size === "number") bytes.write(`${size.toString(8).padStart(11, "0")}\0`, 124, "latin1");
	else size.copy(bytes, 124);
	if (mtime === undefined) bytes.write("14000000000\0", 136, "latin1");
	else mtime.copy(bytes, 136);
	bytes.write(type, 156, "latin1");
	bytes.write(link, 157, "latin1");
	bytes.write(magic, 257, "latin1");
	for (const [offset, text] of at) bytes.write(text, offset, "latin1");
	return sealed(bytes);
}

function sealed(bytes: Buffer): Buffer {
	writeOctal(bytes, 0, { ...FIELDS.checksum, bytes: 7 }, unsignedChecksum(bytes, 0));
	bytes[155] = 0x20;
	return bytes;
}

function padded(text: string | Buffer): Buffer {
	const bytes = Buffer.from(text);
	return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

function record(keyword: string, value: string | Buffer): Buffer {
	const body = Buffer.concat([Buffer.from(` ${keyword}=`), Buffer.from(value), Buffer.from("\n")]);
	let length = body.length;
	while (String(length).length + body.length !== length) length = String(length).length + body.length;
	return Buffer.concat([Buffer.from(String(length)), body]);
}

function pax(records: readonly Buffer[], type = "x"): Buffer {
	const body = Buffer.concat(records);
	return Buffer.concat([block({ name: "pax", type, size: body.length }), padded(body)]);
}

const end = Buffer.alloc(1024);

interface Member {
	readonly entry: TarEntry;
	content: string;
}

function read(parts: readonly Buffer[], limits: Partial<TarLimits> = {}, warnings: string[] = []): Member[] {
	const members: Member[] = [];
	const reader = new TarReader(
		{
			entry: (entry) => members.push({ entry, content: "" }),
			data: (chunk) => {
				const last = members.at(-1);
				if (last !== undefined) last.content += Buffer.from(chunk).toString("latin1");
			},
			entryEnd: () => {},
			unresolvedAcl: (path, xattr) => warnings.push(`${path}: ${xattr}`),
		},
		limits,
	);
	for (const part of parts) reader.write(part);
	reader.end();
	return members;
}

function entries(...parts: Buffer[]): TarEntry[] {
	return read(parts).map(({ entry }) => entry);
}

function expectRefused(parts: readonly Buffer[], message: RegExp, limits: Partial<TarLimits> = {}): void {
	expect(() => read(parts, limits)).toThrow(
		expect.objectContaining({ code: "ETAR", message: expect.stringMatching(message) }),
	);
}

describe("old and odd archives", () => {
	test("an empty input is an empty archive", () => {
		expect(read([])).toEqual([]);
		expect(read([end])).toEqual([]);
	});

	test("an archive may end without its marker, or with half of it, and with anything behind it", () => {
		for (const tail of [[], [Buffer.alloc(512)], [end, Buffer.from("anything")]]) {
			expect(read([block(), ...tail])).toHaveLength(1);
		}
	});

	test("a checksum over signed bytes is right", () => {
		const bytes = block({ name: "caf\xe9\xff", magic: "" });
		writeOctal(bytes, 0, { ...FIELDS.checksum, bytes: 7 }, unsignedChecksum(bytes, 0) - 2 * 256);
		expect(entries(bytes)[0]?.path).toEqual(Buffer.from("caf\xe9\xff", "latin1"));
	});

	test("a directory of old tars is a file with a slash", () => {
		expect(entries(block({ name: "d/", type: "\0", magic: "" }), block({ name: "e/" }))).toMatchObject([
			{ type: "directory" },
			{ type: "directory" },
		]);
	});

	test("unknown types and contiguous files are files", () => {
		expect(
			read([block({ type: "7", size: 2 }), padded("hi"), block({ type: "Q", size: 2 }), padded("ho")]),
		).toMatchObject([
			{ entry: { type: "file" }, content: "hi" },
			{ entry: { type: "file" }, content: "ho" },
		]);
	});

	test("links, directories and devices have no payload whatever their size says", () => {
		const types = ["1", "2", "3", "4", "5", "6"];
		const found = entries(...types.map((type) => block({ type, size: 600, link: "x" })), block());
		expect(found.map(({ type, sizeBytes }) => `${type} ${sizeBytes}`)).toEqual([
			"hardlink 0",
			"symlink 0",
			"character 0",
			"block 0",
			"directory 0",
			"fifo 0",
			"file 0",
		]);
	});

	test("numbers may be base-256, negative ones too", () => {
		const size = Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
		const mtime = Buffer.alloc(12, 0xff);
		const found = read([block({ size, mtime }), padded("abc")]);
		expect(found).toMatchObject([{ content: "abc", entry: { mtimeNs: -1_000_000_000n } }]);
	});

	test("ustar puts the prefix in front, GNU does not, star has a shorter one", () => {
		const at = [[345, "prefix"]] as const;
		expect(entries(block({ at }))[0]?.path.toString()).toBe("prefix/file");
		expect(entries(block({ at: [[345, "\0"]], magic: "ustar  \0" }))[0]?.path.toString()).toBe("file");
		// What Go wrote before 1.8.
		expect(entries(block({ at, magic: "ustar  \0" }))[0]?.path.toString()).toBe("prefix/file");
		const star = block({
			at: [
				[345, "p".repeat(131)],
				[476, "00000000012 "],
				[488, "00000000013 "],
				[508, "tar\0"],
			],
		});
		expect(entries(star)[0]).toMatchObject({
			path: Buffer.from(`${"p".repeat(131)}/file`),
			atimeNs: 10_000_000_000n,
			ctimeNs: 11_000_000_000n,
		});
	});

	test("star's sparse files are read", () => {
		const header = block({
			type: "S",
			size: 3,
			at: [
				[356, "00000001000\x0000000000003\0"],
				[452, "00000002000\0"],
				[476, "00000000012 "],
				[488, "00000000013 "],
				[508, "tar\0"],
			],
		});
		expect(read([header, padded("abc")])).toMatchObject([
			{ content: "abc", entry: { sizeBytes: 1024, dataExtents: [{ offset: 512, sizeBytes: 3 }] } },
		]);
	});

	test("a directory without a name is the root, as in GNU tar", () => {
		expect(entries(block({ name: "", type: "5" }))).toMatchObject([
			{ type: "directory", path: Buffer.from("./") },
		]);
	});

	test("global headers apply until they are taken back, and local ones win", () => {
		const found = entries(
			pax([record("uid", "7"), record("gname", "all"), record("path", "no"), record("comment", "git")], "g"),
			block(),
			pax([record("uid", "8"), record("gname", "")]),
			block(),
			pax([record("uid", "")], "g"),
			block(),
		);
		expect(found.map(({ path, uid, gname }) => `${path} ${uid} ${gname}`)).toEqual([
			"file 7 all",
			"file 8 undefined",
			"file 1 all",
		]);
	});

	test("GNU long names win over PAX paths, and the last record of a keyword wins", () => {
		const long = Buffer.concat([block({ type: "L", size: 5 }), padded("long\0")]);
		expect(entries(pax([record("path", "a"), record("path", "b")]), block())[0]?.path.toString()).toBe("b");
		expect(entries(pax([record("path", "b")]), long, block())[0]?.path.toString()).toBe("long");
	});

	test("xattrs keep every byte, whoever wrote them", () => {
		const value = Buffer.from([0, 61, 10, 255]);
		const [entry] = entries(
			pax([
				record("SCHILY.xattr.user.b", value),
				record("LIBARCHIVE.xattr.user.c%3Dd", value.toString("base64")),
				record("RHT.security.selinux", "system_u:object_r:bin_t:s0"),
			]),
			block(),
		);
		expect(entry?.xattrs.map((xattr) => [xattr.name.toString(), xattr.value])).toEqual([
			["user.b", value],
			["user.c=d", value],
			["security.selinux", Buffer.from("system_u:object_r:bin_t:s0")],
		]);
	});

	test("an ACL in text becomes the kernel's bytes; one with names alone is left out with a warning", () => {
		const text = "user::rw-,user:joe:r--:1234,group::r--,mask::r--,other::---";
		const [entry] = entries(pax([record("SCHILY.acl.access", text)]), block());
		expect(entry?.xattrs[0]?.name.toString()).toBe("system.posix_acl_access");
		expect(entry?.xattrs[0]?.value.toString("hex")).toBe(
			"0200000001000600ffffffff02000400d204000004000400ffffffff10000400ffffffff20000000ffffffff",
		);
		const warnings: string[] = [];
		const named = "user::rw-,user:joe:r--,group::r--,mask::r--,other::---";
		expect(read([pax([record("SCHILY.acl.access", named)]), block()], {}, warnings)[0]?.entry.xattrs).toEqual(
			[],
		);
		expect(warnings).toEqual(["file: system.posix_acl_access"]);
	});
});

describe("what is refused", () => {
	test.each([
		["a wrong checksum", [Buffer.from(block()).fill(0x41, 0, 1)], /entry "Aile" at byte 0: .*checksum/],
		["text", [Buffer.alloc(512, "no tar at all ")], /^tar at byte 0: this is no tar header$/],
		["a header behind a lone zero block", [Buffer.alloc(512), block()], /stands behind a block of zeros/],
		["no name", [block({ name: "" })], /no name/],
		["no name, but a link", [block({ name: "", type: "2", link: "l" })], /no name/],
		["a link without a target", [block({ type: "2" })], /no target/],
		["a size that is no number", [block({ size: Buffer.from("12x") })], /size is not a number/],
		["a negative size", [block({ size: Buffer.alloc(12, 0xff) })], /negative/],
		["a huge size", [block({ size: Buffer.from("80007fffffffffffffffffff", "hex") })], /too large|over/],
		["a continued volume", [block({ type: "M" })], /another volume/],
		["an extended header without an entry", [pax([record("path", "x")]), end], /no entry behind/],
		["a record that is too long", [block({ type: "x", size: 8 }), padded("99 a=bc\n")], /record/],
		["a record without a keyword", [block({ type: "x", size: 6 }), padded("6 =bc\n")], /keyword/],
		["a record without its newline", [block({ type: "x", size: 8 }), padded("8 ab=cde")], /length/],
		["a path with a NUL", [pax([record("path", "a\0b")]), block()], /NUL/],
		["a time that is none", [pax([record("mtime", "1e9")]), block()], /time/],
		["an unknown sparse format", [pax([record("GNU.sparse.major", "2")]), block()], /sparse format 2.0/],
		[
			"an overlapping map",
			[pax([record("GNU.sparse.map", "0,9,8,1"), record("GNU.sparse.size", "99")]), block({ size: 10 })],
			/overlap/,
		],
		[
			"a map of other bytes than are stored",
			[pax([record("GNU.sparse.map", "0,9"), record("GNU.sparse.size", "99")]), block({ size: 10 })],
			/more or fewer bytes than are stored/,
		],
		[
			"a map beyond the end",
			[pax([record("GNU.sparse.map", "0,9"), record("GNU.sparse.size", "5")]), block({ size: 9 })],
			/beyond/,
		],
		["the S type in ustar", [block({ type: "S" })], /has none/],
	] as const)("%s", (_what, parts, message) => {
		expectRefused([...parts], message);
	});

	test("names an entry and the offset, with what is not printable escaped", () => {
		expectRefused(
			[block(), block({ name: "caf\xe9\n", size: Buffer.from("x") })],
			/entry "caf\\xe9\\x0a" at byte 512/,
		);
	});

	test("a reader that failed stays failed", () => {
		const reader = new TarReader({ entry: () => {}, data: () => {}, entryEnd: () => {} });
		expect(() => reader.write(Buffer.alloc(512, "x"))).toThrow();
		expect(() => reader.write(block())).toThrow(expect.objectContaining({ code: "ETAR" }));
		expect(() => reader.end()).toThrow(expect.objectContaining({ code: "ETAR" }));
	});

	test("an archive cut at any byte that is no boundary of a member", () => {
		const archive = Buffer.concat([
			pax([record("path", "x")]),
			block({ size: 600 }),
			padded(Buffer.alloc(600, 1)),
			block(),
		]);
		const boundaries = [0, 1024 + 512 + 1024, archive.length];
		for (let length = 0; length <= archive.length; length++) {
			const cut = archive.subarray(0, length);
			if (boundaries.includes(length)) read([cut]);
			else expectRefused([cut], /truncated/);
		}
	});
});

describe("limits hold whatever an archive states", () => {
	test("an extended header of 4 GiB is refused by its size alone", () => {
		for (const type of ["x", "g", "L", "K"])
			expectRefused([block({ type, size: 2 ** 32 })], /larger than 1048576/);
	});

	test("a sparse map 1.0 with more pieces than allowed, or that never ends", () => {
		const header = Buffer.concat([
			pax([
				record("GNU.sparse.major", "1"),
				record("GNU.sparse.minor", "0"),
				record("GNU.sparse.realsize", "9"),
			]),
			block({ size: 2 ** 32 }),
		]);
		expectRefused([header, padded("99999999\n")], /more than 65536 pieces/);
		const lines = Buffer.from("0\n0\n".repeat(128));
		const forever = Array.from({ length: 4096 }, () => lines);
		expectRefused([header, padded(`60000\n${"0\n".repeat(252)}`).fill("0\n", 510), ...forever], /sparse map/);
		const digits = Array.from({ length: 4096 }, () => Buffer.alloc(512, "0"));
		expectRefused([header, ...digits], /sparse map is longer than 1048576/);
	});

	test.each([
		["pieces", 21, /more than 65536 pieces/],
		["nothing", 0, /sparse map/],
	])("extension blocks of a GNU sparse file that hold %s, without end", (_what, pieces, message) => {
		const at = [
			[345, "\0"],
			[482, "1"],
		] as const;
		const header = block({ type: "S", magic: "ustar  \0", at });
		const extension = Buffer.alloc(512);
		for (let i = 0; i < pieces; i++) extension.write("00000000000\x0000000000000\0", 24 * i, "latin1");
		extension[504] = 1;
		expectRefused([header, ...Array.from({ length: 4000 }, () => extension)], message);
	});

	test("paths, xattrs and their number", () => {
		expectRefused([pax([record("path", "x".repeat(70_000))]), block()], /longer than 65536/);
		const small = record("SCHILY.xattr.user.a", "x".repeat(100));
		expectRefused([pax([small]), block()], /larger than 50 bytes/, { maxXattrBytes: 50 });
		const many = Array.from({ length: 5 }, (_, i) => record(`SCHILY.xattr.user.${i}`, "x"));
		expectRefused([pax(many), block()], /more than 4 extended/, { maxXattrs: 4 });
	});

	test("global headers cannot pile up", () => {
		const globals = Array.from({ length: 5000 }, (_, i) => pax([record(`SCHILY.xattr.user.${i}`, "x")], "g"));
		expectRefused(globals, /more than 64 extended/);
		// The same one again and again is one.
		read(Array.from({ length: 5000 }, () => pax([record("SCHILY.xattr.user.a", "x".repeat(300))], "g")));
	});

	test("extended headers in a row do not pile up", () => {
		const one = pax([record("path", "x".repeat(60_000))]);
		const before = process.memoryUsage().heapUsed;
		expect(read([...Array.from({ length: 2000 }, () => one), block()])).toHaveLength(1);
		expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 << 20);
	});
});

describe("mutated archives", () => {
	/** Small, seeded, good enough to choose places. */
	function random(seed: number): (below: number) => number {
		let state = seed;
		return (below) => {
			state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
			return Math.floor((state / 2 ** 32) * below);
		};
	}

	function ours(): Buffer {
		const xattrs = [{ name: Buffer.from("user.x"), value: Buffer.alloc(20, 1) }];
		const facts = { uid: 3_000_000, gid: 1, mtimeNs: -5n, xattrs };
		const dataExtents = [
			{ offset: 4096, sizeBytes: 100 },
			{ offset: 8192, sizeBytes: 700 },
		];
		const none = Buffer.alloc(0);
		const linkPath = Buffer.from("ö".repeat(80));
		return writeArchive([
			{ entry: entryOf("a/".repeat(90), { ...facts, type: "directory" }), content: none },
			{
				entry: entryOf("sparse", { ...facts, sizeBytes: 99_999, dataExtents }),
				content: Buffer.alloc(800, 2),
			},
			{ entry: entryOf("link", { ...facts, type: "symlink", linkPath }), content: none },
		]);
	}

	function byGnuTar(): Buffer {
		const script = `d=$(mktemp -d); cd "$d"; for i in 1 2 3 4 5 6 7; do printf x | dd of=s bs=1 seek=$((i*100000)) conv=notrunc status=none; done
tar --format=gnu -S -c s --transform "s,^,${"long/".repeat(30)},"; tar --format=pax --sparse-version=0.0 -S -c s; tar --format=pax --sparse-version=0.1 -S -c s; rm -r "$d"`;
		return spawnSync("/bin/sh", ["-c", script]).stdout;
	}

	test("are read or refused with ETAR, and what is read is within the limits", () => {
		const seeds = [ours(), byGnuTar()];
		const pick = random(20_260);
		let refused = 0;
		for (let round = 0; round < 3000; round++) {
			const archive = Buffer.from(seeds[round % seeds.length] ?? Buffer.alloc(0));
			for (let i = pick(4) + 1; i > 0; i--) mutate(archive, pick);
			const cut = pick(10) === 0 ? pick(archive.length) : archive.length;
			let payload = 0;
			let raw = 0;
			const reader = new TarReader({
				entry: (entry) => {
					expect(entry.path.length).toBeGreaterThan(0);
					expect(entry.sizeBytes).toBeGreaterThanOrEqual(0);
					expect(entry.sizeBytes).toBeLessThanOrEqual(2 ** 46);
				},
				data: (chunk, offset) => {
					expect(offset).toBeGreaterThanOrEqual(0);
					payload += chunk.length;
				},
				entryEnd: () => {},
				raw: (bytes) => {
					raw += bytes.length;
				},
			});
			try {
				const step = 1 + pick(2000);
				for (let at = 0; at < cut; at += step) reader.write(archive.subarray(at, Math.min(cut, at + step)));
				reader.end();
				expect(payload + raw).toBe(cut);
			} catch (error) {
				if (!isLamellaError(error, "ETAR")) throw error;
				refused++;
			}
		}
		expect(refused).toBeGreaterThan(500);
		expect(refused).toBeLessThan(3000);
	});

	function mutate(archive: Buffer, pick: (below: number) => number): void {
		const at = pick(archive.length);
		switch (pick(4)) {
			case 0:
				archive[at] = pick(256);
				break;
			case 1:
				archive[at] = "0123456789\n= ,"[pick(14)]?.charCodeAt(0) ?? 0;
				break;
			case 2:
				archive.copyWithin(at, pick(archive.length), pick(archive.length));
				break;
			default:
				archive.fill(pick(256), at, Math.min(archive.length, at + pick(64)));
		}
		// With its checksum put right, a damaged header gets past the first check.
		const header = at - (at % BLOCK_BYTES);
		if (archive.toString("latin1", header + 257, header + 262) === "ustar" && pick(4) > 0) {
			sealed(archive.subarray(header, header + BLOCK_BYTES));
		}
	}
});

describe("what the writer refuses", () => {
	const good = entryOf("file", { sizeBytes: 3 });
	const xattr = { name: Buffer.from("user.a"), value: Buffer.from("b") };

	test.each<[string, Partial<TarEntry>]>([
		["an empty path", { path: Buffer.alloc(0) }],
		["a NUL in a path", { path: Buffer.from("a\0b") }],
		["a file with a slash", { path: Buffer.from("a/") }],
		["a link without a target", { type: "symlink", sizeBytes: 0 }],
		["a mode with a file type", { mode: 0o100644 }],
		["a size that is no integer", { sizeBytes: 1.5 }],
		["a directory with a size", { type: "directory" }],
		["an xattr twice", { xattrs: [xattr, xattr] }],
		[
			"extents out of order",
			{
				dataExtents: [
					{ offset: 2, sizeBytes: 1 },
					{ offset: 0, sizeBytes: 1 },
				],
			},
		],
		["extents beyond the end", { dataExtents: [{ offset: 2, sizeBytes: 2 }] }],
		["xattrs over a megabyte", { xattrs: [{ name: Buffer.from("user.a"), value: Buffer.alloc(1 << 20) }] }],
	])("%s", (_what, changes) => {
		const sunk: Uint8Array[] = [];
		const writer = new TarWriter((chunk) => sunk.push(chunk));
		expect(() => writer.entry({ ...good, ...changes })).toThrow(
			expect.objectContaining({ code: "EINVALID" }),
		);
		expect(sunk).toEqual([]);
	});

	test("content of another length than the entry said", () => {
		const writer = new TarWriter(() => {});
		writer.entry(good);
		expect(() => writer.data(Buffer.alloc(4))).toThrow(expect.objectContaining({ code: "EINVALID" }));
		writer.data(Buffer.alloc(2));
		expect(() => writer.entryEnd()).toThrow(expect.objectContaining({ code: "EINVALID" }));
		expect(() => writer.entry(good)).toThrow(expect.objectContaining({ code: "EINVALID" }));
		expect(() => writer.finish()).toThrow(expect.objectContaining({ code: "EINVALID" }));
	});
});
