import { Buffer } from "node:buffer";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import * as linux from "./index.ts";

let dir = "";
let dirfd = -1;

beforeEach(() => {
	dir = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	dirfd = linux.openat(linux.AT_FDCWD, dir, linux.O_RDONLY | linux.O_DIRECTORY);
});
afterEach(() => {
	linux.close(dirfd);
	fs.rmSync(dir, { recursive: true, force: true });
});

const create = (name: linux.Path): number =>
	linux.openat(dirfd, name, linux.O_RDWR | linux.O_CREAT | linux.O_EXCL, 0o600);

function caught(run: () => unknown): unknown {
	try {
		run();
	} catch (error) {
		return error;
	}
	throw new Error("nothing was thrown");
}

const codeOf = (run: () => unknown): unknown => (caught(run) as linux.SystemError).code;

describe("errors", () => {
	test("carry the errno's name and number, the call and the escaped path", () => {
		const error = caught(() => linux.openat(dirfd, "no\nsuch", linux.O_RDONLY));
		expect(linux.isSystemError(error, "ENOENT")).toBe(true);
		expect(error).toMatchObject({ code: "ENOENT", errno: 2, syscall: "openat", path: "no\\x0asuch" });
		expect(String(error)).toContain('openat "no\\x0asuch": ENOENT (no such file or directory)');
	});

	test("a NUL inside a name is refused, not cut", () => {
		create("a");
		expect(codeOf(() => linux.openat(dirfd, "a\0b", 0))).toBe("EINVAL");
		expect(codeOf(() => linux.unlinkat(dirfd, Buffer.from("a\0")))).toBe("EINVAL");
	});

	test("a name over PATH_MAX is ENAMETOOLONG, as text and as bytes; the longest path still goes", () => {
		const longest = `${"./".repeat(2047)}a`;
		expect(longest.length).toBe(4095);
		linux.close(create(longest));
		for (const name of [`./${longest}`, "x".repeat(100_000), Buffer.from(`.${longest}`)])
			expect(codeOf(() => linux.openat(dirfd, name, 0))).toBe("ENAMETOOLONG");
	});

	test("an argument of the wrong type is a TypeError", () => {
		expect(caught(() => linux.openat("x" as unknown as number, "a", 0))).toBeInstanceOf(TypeError);
		expect(caught(() => linux.openat(dirfd, 7 as unknown as string, 0))).toBeInstanceOf(TypeError);
		expect(caught(() => linux.read(dirfd, Buffer.alloc(4), 2, 3))).toBeInstanceOf(TypeError);
		expect(caught(() => linux.read(dirfd, Buffer.alloc(4), -1, 3))).toBeInstanceOf(TypeError);
	});
});

describe("reading and writing", () => {
	test("bytes come back from where they were written", () => {
		const fd = create("a");
		linux.write(fd, Buffer.from("..hello"), 2);
		linux.pwrite(fd, Buffer.from("xELLx"), 1, 3, 1);
		const buffer = Buffer.alloc(10);
		expect(linux.pread(fd, buffer, 1, 9, 0)).toBe(5);
		expect(buffer.toString("latin1", 1, 6)).toBe("hELLo");
		expect(linux.read(fd, buffer)).toBe(0);
		linux.close(fd);
		expect(codeOf(() => linux.close(fd))).toBe("EBADF");
	});

	test("offsets over 4 GiB, holes and data", () => {
		const fd = create("sparse");
		const far = 5 * 2 ** 30;
		linux.pwrite(fd, Buffer.alloc(4096, 1), 0, 4096, far);
		linux.ftruncate(fd, far + 2 ** 20);
		expect(linux.fstat(fd).sizeBytes).toBe(far + 2 ** 20);
		expect(linux.seekData(fd, 0)).toBe(far);
		expect(linux.seekHole(fd, far)).toBe(far + 4096);
		expect(linux.seekData(fd, far + 4096)).toBeUndefined();
		expect(codeOf(() => linux.seekHole(fd, far * 2))).toBe("ENXIO");
		linux.close(fd);
	});

	test("copy_file_range copies and counts; a clone is true or false, never a throw for what cannot be cloned", () => {
		const from = create("from");
		const to = create("to");
		linux.write(from, Buffer.from("0123456789"));
		expect(linux.copyFileRange(from, 2, to, null, 5)).toBe(5);
		expect(fs.readFileSync(path.join(dir, "to"), "utf8")).toBe("23456");
		expect(linux.copyFileRange(from, 10, to, 0, 5)).toBe(0);
		expect(typeof linux.ficlone(to, from)).toBe("boolean");
		expect(codeOf(() => linux.ficlone(to, 9999))).toBe("EBADF");
		linux.fsync(from);
		linux.syncfs(dirfd);
		linux.close(from);
		linux.close(to);
	});

	test("a full pipe's size can be asked for, and its ends are close-on-exec", () => {
		const { readFd, writeFd } = linux.pipe2();
		expect(linux.setPipeSize(writeFd, 128 * 1024)).toBe(128 * 1024);
		linux.write(writeFd, Buffer.alloc(100_000, 7));
		expect(linux.read(readFd, Buffer.alloc(200_000))).toBe(100_000);
		linux.close(writeFd);
		expect(linux.read(readFd, Buffer.alloc(10))).toBe(0);
		linux.close(readFd);
	});

	test("a lock held by another open of the same file is false with LOCK_NB", () => {
		linux.close(create("lock"));
		const [a, b] = [0, 0].map(() => linux.openat(dirfd, "lock", linux.O_RDWR)) as [number, number];
		expect(linux.flock(a, linux.LOCK_EX | linux.LOCK_NB)).toBe(true);
		expect(linux.flock(b, linux.LOCK_SH | linux.LOCK_NB)).toBe(false);
		linux.close(a);
		expect(linux.flock(b, linux.LOCK_EX)).toBe(true);
		linux.close(b);
	});
});

describe("openat2", () => {
	test("RESOLVE_IN_ROOT keeps .., absolute links and magic links inside", () => {
		fs.mkdirSync(path.join(dir, "root/etc"), { recursive: true });
		fs.writeFileSync(path.join(dir, "outside"), "outside");
		fs.writeFileSync(path.join(dir, "root/outside"), "inside");
		fs.symlinkSync("../../../outside", path.join(dir, "root/etc/up"));
		fs.symlinkSync("/outside", path.join(dir, "root/etc/absolute"));
		fs.symlinkSync(`${dir}/outside`, path.join(dir, "root/etc/real"));
		const root = linux.openat(dirfd, "root", linux.O_PATH | linux.O_DIRECTORY);
		const resolve = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS;
		for (const name of ["etc/up", "etc/absolute", "../../outside", "/outside"]) {
			const fd = linux.openat2(root, name, { flags: linux.O_RDONLY, resolve });
			const buffer = Buffer.alloc(20);
			expect(buffer.toString("utf8", 0, linux.read(fd, buffer))).toBe("inside");
			linux.close(fd);
		}
		expect(codeOf(() => linux.openat2(root, "etc/real", { flags: 0, resolve }))).toBe("ENOENT");
		expect(
			codeOf(() => linux.openat2(root, "../outside", { flags: 0, resolve: linux.RESOLVE_BENEATH })),
		).toBe("EXDEV");
		linux.close(root);
	});
});

describe("stat", () => {
	test("agrees with Node's for every type", () => {
		fs.writeFileSync(path.join(dir, "file"), "12345", { mode: 0o640 });
		fs.symlinkSync("file", path.join(dir, "symlink"));
		linux.mknodat(dirfd, "fifo", linux.S_IFIFO | 0o600, 0, 0);
		linux.mknodat(dirfd, "character", linux.S_IFCHR | 0o600, 0, 0);
		linux.mknodat(dirfd, "block", linux.S_IFBLK | 0o600, 4095, 1048575);
		linux.mkdirat(dirfd, "directory", 0o711);
		for (const name of fs.readdirSync(dir)) {
			const node = fs.lstatSync(path.join(dir, name), { bigint: true });
			const ours = linux.fstatat(dirfd, name);
			expect(ours).toMatchObject({
				dev: node.dev,
				ino: node.ino,
				mode: Number(node.mode),
				nlink: Number(node.nlink),
				uid: Number(node.uid),
				gid: Number(node.gid),
				sizeBytes: Number(node.size),
				blocks: Number(node.blocks),
				atimeNs: node.atimeNs,
				mtimeNs: node.mtimeNs,
				ctimeNs: node.ctimeNs,
			});
			const types = [
				linux.isRegular(ours) && "file",
				linux.isSymlink(ours) && "symlink",
				linux.isFifo(ours) && "fifo",
				linux.isCharacter(ours) && "character",
				linux.isBlock(ours) && "block",
				linux.isDirectory(ours.mode) && "directory",
			].filter((type) => type !== false);
			expect(types).toEqual([name]);
		}
		expect(linux.fstatat(dirfd, "block")).toMatchObject({ rdevMajor: 4095, rdevMinor: 1048575 });
		expect(linux.fstatat(dirfd, "symlink", 0).sizeBytes).toBe(5);
		expect(linux.tryFstatat(dirfd, "none")).toBeUndefined();
		expect(linux.tryFstatat(dirfd, "file/below")).toBeUndefined();
		expect(codeOf(() => linux.mknodat(dirfd, "big", linux.S_IFCHR, 4096, 0))).toBe("EINVAL");
	});

	test("statfs tells the filesystem", () => {
		const byPath = linux.statfs("/proc");
		expect(linux.filesystemName(byPath.magic)).toBe("proc");
		expect(linux.fstatfs(dirfd).blocks).toBeGreaterThan(0);
		expect(linux.isMountRoot(linux.AT_FDCWD, "/proc")).toBe(true);
		expect(linux.isMountRoot(linux.AT_FDCWD, dir)).toBe(false);
	});

	test("times are exact to the nanosecond, before 1970 too, and for a symbolic link itself", () => {
		linux.close(create("file"));
		linux.symlinkat("file", dirfd, "symlink");
		for (const [atimeNs, mtimeNs] of [
			[1234567890123456789n, -1n],
			[-1_000_000_001n, 999_999_999n],
			[0n, 2_147_483_648_000_000_001n],
		] as const) {
			linux.utimensat(dirfd, "symlink", atimeNs, mtimeNs);
			expect(linux.fstatat(dirfd, "symlink")).toMatchObject({ atimeNs, mtimeNs });
		}
		const fd = linux.openat(dirfd, "file", linux.O_RDWR);
		linux.futimens(fd, 5n, 7n);
		linux.futimens(fd, undefined, 8n);
		expect(linux.fstat(fd)).toMatchObject({ atimeNs: 5n, mtimeNs: 8n });
		linux.close(fd);
	});

	test("owners and modes", () => {
		const fd = create("file");
		linux.symlinkat("file", dirfd, "symlink");
		linux.fchown(fd, 4_294_967_294, 7);
		linux.fchownat(dirfd, "symlink", 8, 9);
		linux.fchmod(fd, 0o4755);
		expect(linux.fstat(fd)).toMatchObject({ uid: 4_294_967_294, gid: 7, mode: linux.S_IFREG | 0o4755 });
		expect(linux.fstatat(dirfd, "symlink")).toMatchObject({ uid: 8, gid: 9 });
		linux.fchmodat(dirfd, "file", 0o1600);
		expect(linux.fstat(fd).mode & 0o7777).toBe(0o1600);
		linux.close(fd);
	});
});

describe("names", () => {
	test("any bytes make a name, and a large directory is listed whole", () => {
		const raw = Buffer.from(Array.from({ length: 255 }, (_, i) => i + 1).filter((b) => b !== 0x2f));
		linux.close(create(raw));
		// More than the kernel gives in one go of 64 KiB.
		for (let i = 0; i < 400; i++) linux.symlinkat("x", dirfd, `${i}-${"long".repeat(50)}`);
		const entries = linux.readDirectory(dirfd);
		expect(entries.length).toBe(401);
		expect(new Set(entries.map((e) => e.name.toString("latin1"))).size).toBe(401);
		const found = entries.find((e) => e.name.equals(raw));
		expect(found).toMatchObject({ type: linux.DT_REG, ino: linux.fstatat(dirfd, raw).ino });
		expect(linux.readDirectory(dirfd).length).toBe(401);
	});

	test("links, renames, removals", () => {
		linux.symlinkat(Buffer.from([0xff, 0x2f, 0xfe]), dirfd, "s");
		expect(linux.readlinkat(dirfd, "s")).toEqual(Buffer.from([0xff, 0x2f, 0xfe]));
		linux.linkat(dirfd, "s", dirfd, "hard");
		expect(linux.fstatat(dirfd, "hard").nlink).toBe(2);
		linux.close(create("f"));
		expect(codeOf(() => linux.renameat2(dirfd, "f", dirfd, "s", linux.RENAME_NOREPLACE))).toBe("EEXIST");
		linux.renameat2(dirfd, "f", dirfd, "s", linux.RENAME_EXCHANGE);
		expect(linux.isSymlink(linux.fstatat(dirfd, "f"))).toBe(true);
		linux.mkdirat(dirfd, "d", 0o700);
		expect(codeOf(() => linux.unlinkat(dirfd, "d"))).toBe("EISDIR");
		linux.unlinkat(dirfd, "d", linux.AT_REMOVEDIR);
		linux.unlinkat(dirfd, "f");
		expect(
			linux
				.readDirectory(dirfd)
				.map((e) => e.name.toString())
				.sort(),
		).toEqual(["hard", "s"]);
		expect(codeOf(() => linux.readlinkat(dirfd, "s"))).toBe("EINVAL");
	});
});

describe("extended attributes", () => {
	test("binary names and values, on files and on symbolic links themselves", () => {
		const fd = create("f");
		linux.symlinkat("f", dirfd, Buffer.from([0xe9]));
		const name = Buffer.from("user.\xff\x01", "latin1");
		const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
		linux.lsetxattrAt(dirfd, "f", name, value);
		linux.fsetxattr(fd, "user.empty", new Uint8Array(0));
		expect(linux.fgetxattr(fd, name)).toEqual(value);
		expect(linux.lgetxattrAt(dirfd, "f", "user.empty")).toEqual(Buffer.alloc(0));
		expect(linux.lgetxattrAt(dirfd, "f", "user.none")).toBeUndefined();
		expect(linux.fgetxattr(fd, "user.none")).toBeUndefined();
		for (const list of [linux.flistxattr(fd), linux.llistxattrAt(dirfd, "f")])
			expect(list.map(String).sort()).toEqual([name, Buffer.from("user.empty")].map(String).sort());
		linux.lsetxattrAt(dirfd, Buffer.from([0xe9]), "trusted.x", value);
		expect(linux.lgetxattrAt(dirfd, Buffer.from([0xe9]), "trusted.x")).toEqual(value);
		expect(linux.lgetxattrAt(dirfd, "f", "trusted.x")).toBeUndefined();
		expect(codeOf(() => linux.lsetxattrAt(dirfd, "f", name, value, linux.XATTR_CREATE))).toBe("EEXIST");
		linux.lremovexattrAt(dirfd, "f", name);
		linux.fremovexattr(fd, "user.empty");
		expect(linux.flistxattr(fd)).toEqual([]);
		expect(codeOf(() => linux.lremovexattrAt(dirfd, "f", name))).toBe("ENODATA");
		linux.close(fd);
	});
});

test("a number that a call cannot hold is refused, and never becomes another one", () => {
	const file = path.join(dir, "f");
	fs.writeFileSync(file, "");
	fs.chownSync(file, 5, 6);
	for (const id of [-1, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 0.5, Number.NaN]) {
		const refused = expect.objectContaining({ code: "EINVAL" });
		expect(() => linux.fchownat(linux.AT_FDCWD, file, id, 6)).toThrow(refused);
		expect(() => linux.fchownat(linux.AT_FDCWD, file, 5, id)).toThrow(refused);
	}
	for (const number of [-1, 2 ** 32, 2 ** 40, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
		expect(() => linux.mknodat(linux.AT_FDCWD, `${file}2`, linux.S_IFCHR, number, 0)).toThrow("EINVAL");
		expect(() => linux.mknodat(linux.AT_FDCWD, `${file}2`, linux.S_IFCHR, 0, number)).toThrow("EINVAL");
		expect(() => linux.fchmodat(linux.AT_FDCWD, file, number)).toThrow("EINVAL");
	}
	for (const fd of [2 ** 31, -(2 ** 31) - 1, 2 ** 32, 0.5]) {
		expect(() => linux.fstat(fd)).toThrow("EINVAL");
	}
	for (const size of [2 ** 54, 0.5, Number.NaN, Number.NEGATIVE_INFINITY]) {
		expect(() => linux.ftruncate(dirfd, size)).toThrow("EINVAL");
	}
	expect(fs.existsSync(`${file}2`)).toBe(false);
	expect(fs.statSync(file)).toMatchObject({ uid: 5, gid: 6 });
});

test("a worker thread loads the addon and its errors", async () => {
	const index = new URL("../../dist/linux/index.js", import.meta.url).href;
	const source = `
		const { parentPort, workerData } = require("node:worker_threads");
		import(${JSON.stringify(index)}).then((linux) => {
			const fd = linux.openat(linux.AT_FDCWD, workerData, linux.O_DIRECTORY);
			linux.mkdirat(fd, "by-worker-" + linux.gettid(), 0o700);
			let code;
			try { linux.openat(fd, "none", 0); } catch (error) { code = error.code; }
			linux.close(fd);
			parentPort.postMessage({ tid: linux.gettid(), code });
		});`;
	const answers = await Promise.all(
		[0, 1, 2].map(
			() =>
				new Promise<{ tid: number; code: string }>((resolve, reject) => {
					const worker = new Worker(source, { eval: true, workerData: dir });
					worker.once("message", resolve).once("error", reject);
				}),
		),
	);
	expect(answers.map((a) => a.code)).toEqual(["ENOENT", "ENOENT", "ENOENT"]);
	expect(fs.readdirSync(dir).sort()).toEqual(answers.map((a) => `by-worker-${a.tid}`).sort());
});
