import { spawnSync } from "node:child_process";
import {
	chmodSync,
	copyFileSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	renameSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as linux from "../linux/index.ts";
import { runInRoot } from "./index.ts";
import { lookUpUser } from "./user.ts";

let root: string;

beforeAll(() => {
	root = mkdtempSync(path.join(tmpdir(), "lamella-run-"));
	for (const name of ["bin", "etc", "proc", "sys", "dev", "tmp"]) mkdirSync(path.join(root, name));
	chmodSync(root, 0o755);
	chmodSync(path.join(root, "tmp"), 0o1777);
	copyFileSync("/bin/busybox", path.join(root, "bin/busybox"));
	for (const name of ["sh", "id", "ls", "kill", "sleep", "hostname", "cat"])
		symlinkSync("busybox", path.join(root, "bin", name));
	writeFileSync(path.join(root, "etc/passwd"), "root:x:0:0::/:/bin/sh\nann:x:1000:1001::/:/bin/sh\n");
	writeFileSync(path.join(root, "etc/group"), "ann:x:1001:\nstaff:x:50:\n");
});

afterAll(() => {
	rmSync(root, { recursive: true, force: true });
});

/** Runs a shell line in the root; what it writes to /tmp/out is the answer. */
async function shell(line: string, more: { user?: string; cwd?: string; env?: Record<string, string> } = {}) {
	const exitCode = await runInRoot({ root, command: "sh", args: ["-c", `(${line}) > /tmp/out`], ...more });
	const file = path.join(root, "tmp/out");
	const output = readFileSync(file, "utf8").trimEnd();
	rmSync(file);
	return { exitCode, output };
}

test("the command sees the root, a few processes of its own, and devices", async () => {
	const { output } = await shell("ls /; ls -d /proc/[0-9]*; echo x > /dev/null; ls /dev/tty; hostname");
	expect(output).toContain("bin\ndev\netc\nproc\nsys\ntmp");
	expect(output.match(/^\/proc\/\d+$/gm)?.length).toBeLessThan(6);
	expect(output).toContain("/dev/tty");
	expect(output).toContain("lamella");
});

test("exit codes and signals come back", async () => {
	expect(await runInRoot({ root, command: "sh", args: ["-c", "exit 7"] })).toBe(7);
	expect(await runInRoot({ root, command: "sh", args: ["-c", "kill -9 $$"] })).toBe(137);
});

test("user, working directory and environment are those that were asked for", async () => {
	const { output } = await shell('id -u; id -g; pwd; echo "$GREETING"', {
		user: "ann",
		cwd: "/tmp",
		env: { GREETING: "hi" },
	});
	expect(output).toBe("1000\n1001\n/tmp\nhi");
});

test("what is missing is named before anything runs", async () => {
	await expect(runInRoot({ root, command: "nothing" })).rejects.toMatchObject({
		code: "ENOTFOUND",
		message: /nothing/,
	});
	await expect(runInRoot({ root, command: "sh", cwd: "/none" })).rejects.toMatchObject({ code: "ENOTFOUND" });
	await expect(runInRoot({ root, command: "sh", user: "bob" })).rejects.toMatchObject({ code: "ENOTFOUND" });
});

test("the program of the host that keeps the namespace never sees the command's environment", async () => {
	const { exitCode, output } = await shell("cat /proc/1/environ", { env: { LD_PRELOAD: "/tmp/evil.so" } });
	expect(exitCode).toBe(0);
	expect(output).toContain("PATH=");
	expect(output).not.toContain("LD_PRELOAD");
});

test("when the command ends, so does what it started, and no mount is left", async () => {
	await runInRoot({ root, command: "sh", args: ["-c", "sleep 987654 & exit 0"] });
	const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
	expect(stdout).not.toContain("sleep 987654");
	expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(root);
});

test("the command has no descriptor but 0 to 2, no terminal, and nothing of this process in /proc/1", async () => {
	const { output } = await shell(
		"echo /proc/1/fd/*; cat /dev/tty || echo none; read x < /proc/self/stat; echo $x; echo $$",
	);
	const [ofKeeper, , stat, pid] = output.split("\n");
	expect(ofKeeper).toBe("/proc/1/fd/0 /proc/1/fd/1 /proc/1/fd/2");
	expect(output).toContain("none");
	// Its session is its own.
	expect(stat?.split(" ")[5]).toBe(pid);
});

test("a root without /proc and /dev will do, and so will a path for a command", async () => {
	for (const name of ["proc", "dev", "sys"]) rmSync(path.join(root, name), { recursive: true });
	expect(await runInRoot({ root, command: "../bin/busybox", args: ["false"], cwd: "/tmp" })).toBe(1);
	for (const name of ["proc", "dev", "sys"]) mkdirSync(path.join(root, name));
});

test("a command that cannot be started says so as a shell does", async () => {
	writeFileSync(path.join(root, "tmp/plain"), "", { mode: 0o644 });
	await expect(runInRoot({ root, command: "/tmp/plain" })).rejects.toMatchObject({ exitCode: 126 });
	await expect(runInRoot({ root, command: "plain" })).rejects.toMatchObject({ exitCode: 127 });
	await expect(runInRoot({ root, command: "/none/x" })).rejects.toMatchObject({ exitCode: 127 });
});

test("an etc/passwd that is no file is not opened: it could wait for ever, or be a device", () => {
	const passwd = path.join(root, "etc/passwd");
	const fd = linux.openat(linux.AT_FDCWD, root, linux.O_PATH | linux.O_DIRECTORY);
	renameSync(passwd, `${passwd}.kept`);
	try {
		for (const [type, major, minor] of [
			[linux.S_IFIFO, 0, 0],
			[linux.S_IFCHR, 1, 5],
		] as const) {
			linux.mknodat(fd, "etc/passwd", type | 0o666, major, minor);
			expect(() => lookUpUser(fd, "ann")).toThrow("no user");
			expect(lookUpUser(fd, "12")).toEqual({ uid: 12, gid: 0 });
			rmSync(passwd);
		}
	} finally {
		renameSync(`${passwd}.kept`, passwd);
		linux.close(fd);
	}
});

test("an aborted signal ends the command", async () => {
	const abort = new AbortController();
	const running = runInRoot({ root, command: "sleep", args: ["1000"], signal: abort.signal });
	setTimeout(() => abort.abort(), 500);
	expect(await running).toBe(128 + 15);
});

test("users are looked up within the root, and a link out of it is not followed", () => {
	rmSync(path.join(root, "etc/group"));
	symlinkSync("/../../../../etc/group", path.join(root, "etc/group"));
	const fd = linux.openat(linux.AT_FDCWD, root, linux.O_PATH | linux.O_DIRECTORY);
	try {
		expect(lookUpUser(fd, "ann")).toEqual({ uid: 1000, gid: 1001 });
		expect(lookUpUser(fd, "12:34")).toEqual({ uid: 12, gid: 34 });
		expect(lookUpUser(fd, "12")).toEqual({ uid: 12, gid: 0 });
		expect(lookUpUser(fd, "")).toEqual({ uid: 0, gid: 0 });
		expect(() => lookUpUser(fd, "0:daemon")).toThrow("no group");
	} finally {
		linux.close(fd);
	}
});
