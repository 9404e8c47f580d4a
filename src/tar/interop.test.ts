/** Archives of real tars are read as what they are, and ours are read by them. */
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TarEntry, TarReader, tarMembers } from "./index.ts";
import { entryOf, writeArchive } from "./testing/archive.ts";

const NS = 1_000_000_000n;
const latin1Name = Buffer.from("caf\xe9.txt", "latin1");
const longName = `${"directory-with-a-long-name/".repeat(8)}file`;
const hasBsdtar = spawnSync("bsdtar", ["--version"]).status === 0;
const hasPython = spawnSync("python3", ["--version"]).status === 0;

let directory = "";
let tree = "";
beforeAll(() => {
	directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	tree = path.join(directory, "tree");
	fs.mkdirSync(path.join(tree, path.dirname(longName)), { recursive: true });
	fs.writeFileSync(path.join(tree, longName), "far away");
	fs.writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), latin1Name]), "latin");
	fs.writeFileSync(path.join(tree, "plain"), "plain content\n".repeat(1000), { mode: 0o644 });
	fs.chownSync(path.join(tree, "plain"), 12, 34);
	fs.chmodSync(path.join(tree, "plain"), 0o4751);
	execFileSync("touch", ["-d", "@1700000000.123456789", path.join(tree, "plain")]);
	fs.linkSync(path.join(tree, "plain"), path.join(tree, "second"));
	fs.symlinkSync("x".repeat(200), path.join(tree, "symlink"));
	execFileSync("mkfifo", [path.join(tree, "fifo")]);
	execFileSync("mknod", [path.join(tree, "device"), "c", "5", "300"]);
	fs.writeFileSync(path.join(tree, "empty"), "");
	makeSparse(path.join(tree, "sparse"), 3);
	makeSparse(path.join(tree, "very-sparse"), 60);
	fs.writeFileSync(path.join(tree, "old"), "old");
	execFileSync("touch", ["-d", "1965-01-01 00:00:00.5 UTC", path.join(tree, "old")]);
});
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

function makeSparse(file: string, pieces: number): void {
	const fd = fs.openSync(file, "w");
	for (let i = 0; i < pieces; i++)
		fs.writeSync(fd, Buffer.alloc(4096, i + 1), 0, 4096, 100_000 + i * 131_072);
	fs.ftruncateSync(fd, 131_072 * (pieces + 2));
	fs.closeSync(fd);
}

interface Read {
	readonly entry: TarEntry;
	/** With its holes filled. */
	readonly content: Buffer;
}

function readAll(archive: Buffer, chunkBytes = 10_007): Map<string, Read> {
	const found = new Map<string, Read>();
	const rebuilt: Buffer[] = [];
	let content = Buffer.alloc(0);
	let current: TarEntry | undefined;
	const reader = new TarReader({
		entry: (entry) => {
			current = entry;
			content = Buffer.alloc(entry.sizeBytes);
		},
		data: (chunk, offset) => {
			content.set(chunk, offset);
			rebuilt.push(Buffer.from(chunk));
		},
		entryEnd: () => {
			if (current === undefined) throw new Error("no entry");
			found.set(current.path.toString("latin1"), { entry: current, content });
		},
		raw: (bytes) => rebuilt.push(Buffer.from(bytes)),
	});
	for (let at = 0; at < archive.length; at += chunkBytes) reader.write(archive.subarray(at, at + chunkBytes));
	reader.end();
	expect(Buffer.concat(rebuilt).equals(archive)).toBe(true);
	return found;
}

function archiveBy(program: string, args: readonly string[], names: readonly string[]): Buffer {
	const { stdout, stderr, status } = spawnSync(program, [...args, "-C", tree, ...names], {
		maxBuffer: 1 << 28,
	});
	if (status !== 0) throw new Error(stderr.toString());
	return stdout;
}

function expectSparse(found: Map<string, Read>, name: string, isSparse: boolean): void {
	const read = found.get(name);
	expect(read?.content.equals(fs.readFileSync(path.join(tree, name)))).toBe(true);
	expect(read?.entry.dataExtents !== undefined).toBe(isSparse);
}

describe("what GNU tar writes", () => {
	test.each([
		["gnu", ["--format=gnu"], "seconds", false],
		["gnu, sparse", ["--format=gnu", "--sparse"], "seconds", true],
		["oldgnu, sparse", ["--format=oldgnu", "--sparse"], "seconds", true],
		["pax", ["--format=pax"], "ns", false],
		["pax, sparse 0.0", ["--format=pax", "--sparse", "--sparse-version=0.0"], "ns", true],
		["pax, sparse 0.1", ["--format=pax", "--sparse", "--sparse-version=0.1"], "ns", true],
		["posix, sparse 1.0", ["--format=posix", "--sparse", "--sparse-version=1.0"], "ns", true],
		["posix with atimes deleted", ["--format=posix", "--pax-option=delete=atime,delete=ctime"], "ns", false],
	] as const)("as %s is read whole", (_name, options, times, sparse) => {
		const found = readAll(
			archiveBy("/usr/bin/tar", ["-c", "--sort=name", "--numeric-owner", ...options], ["."]),
		);
		expect(found.get(`./${longName}`)?.content.toString()).toBe("far away");
		expect(found.get(`./${latin1Name.toString("latin1")}`)?.content.toString()).toBe("latin");
		const plain = found.get("./plain");
		expect(plain?.content.toString()).toBe("plain content\n".repeat(1000));
		expect(plain?.entry).toMatchObject({ type: "file", mode: 0o4751, uid: 12, gid: 34 });
		expect(plain?.entry.mtimeNs).toBe(1_700_000_000n * NS + (times === "ns" ? 123_456_789n : 0n));
		expect(found.get("./second")?.entry).toMatchObject({
			type: "hardlink",
			linkPath: Buffer.from("./plain"),
		});
		expect(found.get("./symlink")?.entry).toMatchObject({ linkPath: Buffer.from("x".repeat(200)) });
		expect(found.get("./fifo")?.entry.type).toBe("fifo");
		expect(found.get("./device")?.entry).toMatchObject({
			type: "character",
			deviceMajor: 5,
			deviceMinor: 300,
		});
		expect(found.get("./")?.entry.type).toBe("directory");
		// GNU's own format writes whole seconds before 1970 as a negative base-256 number.
		const old = found.get("./old")?.entry.mtimeNs ?? 0n;
		const seconds = BigInt(Date.UTC(1965, 0, 1)) / 1000n;
		if (times === "ns") expect(old).toBe(seconds * NS + NS / 2n);
		else expect(old / NS).toBe(seconds);
		expectSparse(found, "./sparse", sparse);
		expectSparse(found, "./very-sparse", sparse);
	});

	test.each(["ustar", "v7"])("as %s is read", (format) => {
		const found = readAll(
			archiveBy("/usr/bin/tar", ["-c", `--format=${format}`], ["plain", "second", "empty"]),
		);
		expect([...found.keys()]).toEqual(["plain", "second", "empty"]);
		expect(found.get("plain")?.content.length).toBe(14_000);
		expect(found.get("empty")?.entry.uname?.toString()).toBe(format === "v7" ? undefined : "root");
	});

	test("with a volume's label is read without it", () => {
		const found = readAll(archiveBy("/usr/bin/tar", ["-c", "--format=gnu", "--label=backup"], ["empty"]));
		expect([...found.keys()]).toEqual(["empty"]);
	});

	test("as an incremental archive is read", () => {
		const args = ["-c", "--format=gnu", `--listed-incremental=${path.join(directory, "snapshot")}`];
		const found = readAll(archiveBy("/usr/bin/tar", args, ["."]));
		expect(found.get("./")?.entry).toMatchObject({ type: "directory", sizeBytes: 0 });
		expect(found.get("./plain")?.content.length).toBe(14_000);
	});

	test("with xattrs and ACLs has their bytes", () => {
		const file = path.join(tree, "with-xattrs");
		fs.writeFileSync(file, "x");
		execFileSync("python3", [
			"-c",
			`import os,sys
os.setxattr(sys.argv[1], "user.binary", bytes(range(256)))
os.setxattr(sys.argv[1], "user.a=b%3D", b"odd")
os.setxattr(sys.argv[1], "user.none", b"")
os.setxattr(sys.argv[1], "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
os.setxattr(sys.argv[1], "system.posix_acl_access", bytes.fromhex("0200000001000600ffffffff02000600d204000004000400ffffffff10000600ffffffff20000400ffffffff"))`,
			file,
		]);
		const args = ["-c", "--xattrs", "--xattrs-include=*", "--acls", "--format=posix"];
		const found = readAll(archiveBy("/usr/bin/tar", args, ["with-xattrs"]));
		const xattrs = new Map(
			found
				.get("with-xattrs")
				?.entry.xattrs.map(({ name, value }) => [name.toString(), value.toString("hex")]),
		);
		expect(xattrs.get("user.binary")).toBe(
			Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString("hex"),
		);
		expect(xattrs.get("user.a=b%3D")).toBe(Buffer.from("odd").toString("hex"));
		expect(xattrs.get("user.none")).toBe("");
		expect(xattrs.get("security.capability")).toBe("0100000200200000000000000000000000000000");
		expect(xattrs.get("system.posix_acl_access")).toBe(
			"0200000001000600ffffffff02000600d204000004000400ffffffff10000600ffffffff20000400ffffffff",
		);
	});
});

test.runIf(hasBsdtar).each(["pax", "gnutar", "ustar"])("what bsdtar writes as %s is read", (format) => {
	const names = ["plain", "second", "sparse", "with-xattrs", "device"];
	const found = readAll(archiveBy("bsdtar", ["-c", "-f", "-", `--format=${format}`], names));
	expect(found.get("second")?.entry).toMatchObject({ type: "hardlink", linkPath: Buffer.from("plain") });
	expect(found.get("sparse")?.content.equals(fs.readFileSync(path.join(tree, "sparse")))).toBe(true);
	if (format !== "pax") return;
	const xattrs = found.get("with-xattrs")?.entry.xattrs.map(({ name }) => name.toString());
	expect(xattrs).toContain("user.binary");
	expect(xattrs).toContain("system.posix_acl_access");
	expect(new Set(xattrs).size).toBe(xattrs?.length);
});

test.runIf(hasPython).each(["PAX_FORMAT", "GNU_FORMAT"])("what Python writes as %s is read", (format) => {
	const script = `import tarfile,sys
t=tarfile.open(fileobj=sys.stdout.buffer,mode="w|",format=tarfile.${format})
t.add(".",recursive=True)
t.close()`;
	const { stdout } = spawnSync("python3", ["-c", script], { cwd: tree, maxBuffer: 1 << 28 });
	const found = readAll(stdout);
	expect(found.get(`./${longName}`)?.content.toString()).toBe("far away");
	expect(found.get(`./${latin1Name.toString("latin1")}`)?.content.toString()).toBe("latin");
	expect(found.get("./second")?.entry.type).toBe("hardlink");
});

describe("what the writer makes", () => {
	const made = (path: string | Buffer, changes: Partial<TarEntry> = {}): TarEntry =>
		entryOf(path, { mtimeNs: 1_600_000_000n * NS + 5n, ...changes });
	const sparseContent = Buffer.concat([Buffer.alloc(300_000), Buffer.alloc(5000, 7), Buffer.alloc(100_000)]);
	const long = Buffer.concat([Buffer.from("d/".repeat(120)), latin1Name]);
	const entries: readonly (readonly [TarEntry, Buffer])[] = [
		[made("plain", { sizeBytes: 5, uid: 3_000_000, mode: 0o4755 }), Buffer.from("hello")],
		[made(latin1Name, { sizeBytes: 5 }), Buffer.from("latin")],
		[made("größe", { sizeBytes: 4 }), Buffer.from("utf8")],
		[made(long, { sizeBytes: 4 }), Buffer.from("long")],
		[
			made("sparse", {
				sizeBytes: sparseContent.length,
				dataExtents: [{ offset: 300_000, sizeBytes: 5000 }],
			}),
			Buffer.alloc(5000, 7),
		],
		[made(`${"s".repeat(150)}/ünicode`, { sizeBytes: 9_000, dataExtents: [] }), Buffer.alloc(0)],
		[made("before", { mtimeNs: -1_500_000_000n }), Buffer.alloc(0)],
		[
			made("link", { type: "hardlink", linkPath: Buffer.from("plain"), uid: 3_000_000, mode: 0o4755 }),
			Buffer.alloc(0),
		],
		[made("symlink", { type: "symlink", linkPath: Buffer.from("ö".repeat(90)) }), Buffer.alloc(0)],
		[
			made("xattrs", {
				xattrs: [{ name: Buffer.from("user.binary"), value: Buffer.from([0, 10, 61, 255]) }],
			}),
			Buffer.alloc(0),
		],
	];
	let file = "";
	beforeAll(() => {
		file = path.join(directory, "ours.tar");
		fs.writeFileSync(file, writeArchive(entries.map(([entry, content]) => ({ entry, content }))));
	});

	function expectTree(target: string, beforeMicroseconds = -1_500_000n): void {
		const at = (name: string | Buffer): Buffer =>
			Buffer.concat([Buffer.from(`${target}/`), Buffer.from(name)]);
		expect(fs.readFileSync(at("plain"), "latin1")).toBe("hello");
		expect(fs.statSync(at("plain"))).toMatchObject({ uid: 3_000_000, nlink: 2 });
		expect(fs.statSync(at("plain"), { bigint: true }).mtimeNs / 1000n).toBe(
			(1_600_000_000n * NS + 5n) / 1000n,
		);
		expect(fs.readFileSync(at(latin1Name), "latin1")).toBe("latin");
		expect(fs.readFileSync(at("größe"), "latin1")).toBe("utf8");
		expect(fs.readFileSync(at(long), "latin1")).toBe("long");
		expect(fs.readFileSync(at("sparse")).equals(sparseContent)).toBe(true);
		expect(fs.readFileSync(at(`${"s".repeat(150)}/ünicode`)).equals(Buffer.alloc(9000))).toBe(true);
		expect(fs.statSync(at("before"), { bigint: true }).mtimeNs / 1000n).toBe(beforeMicroseconds);
		expect(fs.readlinkSync(at("symlink"))).toBe("ö".repeat(90));
	}

	function extractTo(name: string): string {
		const target = path.join(directory, name);
		fs.mkdirSync(target);
		return target;
	}

	test("is unpacked by GNU tar without a word", () => {
		const target = extractTo("by-gnu");
		const args = ["-x", "-f", file, "-C", target, "--xattrs", "--xattrs-include=*", "--numeric-owner"];
		const { status, stderr } = spawnSync("/usr/bin/tar", args);
		expect(stderr.toString().replace(/.*implausibly old time stamp.*\n/g, "")).toBe("");
		expect(status).toBe(0);
		expectTree(target);
		const script = "import os,sys; sys.stdout.write(os.getxattr(sys.argv[1], 'user.binary').hex())";
		const value = spawnSync("python3", ["-c", script, path.join(target, "xattrs")]).stdout.toString();
		expect(value).toBe("000a3dff");
	});

	test.runIf(hasBsdtar)("is unpacked by bsdtar", () => {
		const target = extractTo("by-bsdtar");
		const env = { ...process.env, LC_ALL: "C.UTF-8" };
		// It says that a name is not UTF-8, and takes its bytes as they are.
		spawnSync("bsdtar", ["-x", "-p", "-f", file, "-C", target, "--numeric-owner"], { env });
		// It reads "-1.5" as -1 and +0.5; POSIX, GNU tar, Go and Python mean one and a half seconds before 1970.
		expectTree(target, -500_000n);
	});

	test.runIf(hasPython)("is unpacked by Python", () => {
		const target = extractTo("by-python");
		const script = `import tarfile,sys
t=tarfile.open(sys.argv[1])
t.extractall(sys.argv[2],numeric_owner=True)`;
		const { stderr } = spawnSync("python3", ["-c", script, file, target]);
		expect(stderr.toString()).toBe("");
		expectTree(target);
	});

	test("is walked by its headers", () => {
		const fd = fs.openSync(file, "r");
		try {
			const members = [
				...tarMembers((buffer, offset, length, at) => fs.readSync(fd, buffer, offset, length, at)),
			];
			expect(members.map(({ entry }) => entry.path)).toEqual(entries.map(([entry]) => entry.path));
			members.forEach(({ payloadOffset, storedSizeBytes }, i) => {
				const stored = Buffer.alloc(storedSizeBytes);
				fs.readSync(fd, stored, 0, storedSizeBytes, payloadOffset);
				expect(stored.equals(entries[i]?.[1] ?? Buffer.alloc(0))).toBe(true);
			});
		} finally {
			fs.closeSync(fd);
		}
	});
});
