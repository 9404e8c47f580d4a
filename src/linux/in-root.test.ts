import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as linux from "./index.ts";

let dir: string;
let root: number;
const inside = (name: string): string => path.join(dir, "root", name);

beforeAll(() => {
	dir = fs.mkdtempSync(path.join(tmpdir(), "lamella-in-root-"));
	fs.mkdirSync(inside("etc"), { recursive: true });
	fs.mkdirSync(path.join(dir, "outside"));
	fs.symlinkSync(path.join(dir, "outside"), inside("absolute"));
	fs.symlinkSync("../../outside", inside("relative"));
	fs.symlinkSync("../etc/new", inside("dangling"));
	fs.writeFileSync(inside("file"), "content");
	root = linux.openat(linux.AT_FDCWD, path.join(dir, "root"), linux.O_PATH | linux.O_DIRECTORY);
	linux.mknodat(root, "fifo", linux.S_IFIFO | 0o600, 0, 0);
	linux.mknodat(root, "null", linux.S_IFCHR | 0o600, 1, 3);
	fs.symlinkSync("fifo", inside("to-fifo"));
});
afterAll(() => {
	linux.close(root);
	fs.rmSync(dir, { recursive: true });
});

const CREATE = linux.O_WRONLY | linux.O_CREAT | linux.O_TRUNC;

test("what is no regular file is never opened: a FIFO would wait, a device act", () => {
	for (const name of ["fifo", "to-fifo", "null", "etc"]) {
		expect(linux.openFileInRoot(root, name, linux.O_RDONLY)).toBeUndefined();
		expect(linux.openFileInRoot(root, name, CREATE)).toBeUndefined();
	}
});

test("links lead nowhere but inside, for reading and for making", () => {
	for (const name of ["absolute/made", "relative/made", "../outside/made"]) {
		expect(() => linux.openFileInRoot(root, name, CREATE, 0o644)).toThrow(/ENOENT/);
	}
	const fd = linux.openFileInRoot(root, "dangling", CREATE, 0o644);
	linux.close(fd ?? -1);
	expect(fs.existsSync(inside("etc/new"))).toBe(true);
	expect(fs.readdirSync(path.join(dir, "outside"))).toEqual([]);
});

test("a file that is there is opened with the flags that were given", () => {
	expect(() => linux.openFileInRoot(root, "file", CREATE | linux.O_EXCL)).toThrow(/EEXIST/);
	const fd = linux.openFileInRoot(root, "/file", linux.O_WRONLY | linux.O_CREAT | linux.O_APPEND) ?? -1;
	linux.write(fd, Buffer.from("!"));
	linux.close(fd);
	expect(fs.readFileSync(inside("file"), "utf8")).toBe("content!");
});
