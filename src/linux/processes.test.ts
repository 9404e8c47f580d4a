import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { constants, tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as linux from "./index.ts";
import { native } from "./native.ts";

let dir: string;
beforeAll(() => {
	dir = fs.mkdtempSync(path.join(tmpdir(), "lamella-processes-"));
});
afterAll(() => fs.rmSync(dir, { recursive: true }));

const caught = (work: () => unknown): unknown => {
	try {
		return work();
	} catch (error) {
		return error;
	}
};

/** Runs a shell line to its end, with its output and the exit code. */
function shell(line: string, more: Partial<linux.Program> = {}): { exitCode: number; output: string } {
	const file = path.join(dir, "output");
	const output = linux.openat(linux.AT_FDCWD, file, linux.O_CREAT | linux.O_TRUNC | linux.O_RDWR, 0o600);
	try {
		const pid = linux.spawnProgram({
			...{ file: "/bin/sh", argv: ["sh", "-c", line], env: { NAME: "value" }, cwd: "/", uid: 0, gid: 0 },
			...{ fds: [0, output, output], ...more },
		});
		const exitCode = linux.waitForEnd(pid);
		return { exitCode, output: fs.readFileSync(file, "utf8").trimEnd() };
	} finally {
		linux.close(output);
	}
}

/** Whether the descriptor goes away when this process starts another program. */
function isCloseOnExec(fd: number): boolean {
	const flags = /^flags:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
	return (Number.parseInt(flags ?? "0", 8) & linux.O_CLOEXEC) !== 0;
}

describe("a program", () => {
	test("has what it was given, leads a session, and ignores no signal", () => {
		const { exitCode, output } = shell(
			'echo "$NAME $PWD $(id -u) $(id -g) $(cut -d" " -f6 /proc/$$/stat) $$"; grep SigIgn /proc/$$/status; exit 7',
			{ cwd: "/tmp", uid: 65_534, gid: 65_533 },
		);
		const [, session, pid] = /^value \/tmp 65534 65533 (\d+) (\d+)$/m.exec(output) ?? [];
		expect(session).toBe(pid);
		expect(output).toMatch(/SigIgn:\s*0+$/);
		expect(exitCode).toBe(7);
	});

	test("has no descriptor but 0 to 2, though others are open to it", () => {
		const own = linux.openat(linux.AT_FDCWD, dir, linux.O_PATH);
		// F_DUPFD: as a library that forgot O_CLOEXEC has it.
		const leaked = native().fcntl(own, 0, 100);
		const line = `[ -e /proc/$$/fd/${leaked} ] && echo leaked`;
		expect(spawnSync("/bin/sh", ["-c", line], { encoding: "utf8" }).stdout).toBe("leaked\n");
		expect(shell(line).output).toBe("");
		for (const fd of [own, leaked]) linux.close(fd);
	});

	test("that a signal ended says so, and what cannot be started says why", () => {
		expect(shell("kill -9 $$").exitCode).toBe(137);
		const program = path.join(dir, "program");
		fs.writeFileSync(program, "");
		expect(caught(() => shell("", { file: "/nowhere" }))).toMatchObject({ code: "ENOENT" });
		expect(caught(() => shell("", { file: program }))).toMatchObject({ code: "EACCES" });
		fs.chmodSync(program, 0o755);
		expect(caught(() => shell("", { file: program }))).toMatchObject({ code: "ENOEXEC" });
		expect(caught(() => shell("", { cwd: "/nowhere" }))).toMatchObject({ code: "ENOENT" });
	});

	test("gets signals by its pidfd, which tells its end", () => {
		const pid = linux.spawnProgram({
			...{ file: "/bin/sleep", argv: ["sleep", "1000"], env: {}, cwd: "/", uid: 0, gid: 0, fds: [0, 1, 2] },
		});
		const pidfd = linux.pidfdOpen(pid);
		expect(linux.poll([{ fd: pidfd, events: linux.POLLIN }], 0)).toEqual([0]);
		expect(linux.pidfdSendSignal(pidfd, constants.signals.SIGTERM)).toBe(true);
		expect(linux.poll([{ fd: pidfd, events: linux.POLLIN }], 10_000)).toEqual([linux.POLLIN]);
		expect(linux.waitForEnd(pid)).toBe(143);
		expect(linux.pidfdSendSignal(pidfd, constants.signals.SIGTERM)).toBe(false);
		linux.close(pidfd);
	});

	test("can have a terminal of its own, with the size that it is given", () => {
		const { master, slave } = linux.openPseudoTerminal();
		const size = Buffer.alloc(8);
		size.writeUInt16LE(7, 0);
		size.writeUInt16LE(70, 2);
		linux.setWindowSize(master, Buffer.concat([size, Buffer.alloc(120)]));
		const { output } = shell("stty size; echo typed > /dev/tty", {
			terminal: true,
			fds: [slave, slave, slave],
		});
		linux.close(slave);
		const seen = Buffer.alloc(100);
		expect(output).toBe("");
		expect(seen.toString("utf8", 0, linux.read(master, seen))).toBe("7 70\r\ntyped\r\n");
		linux.close(master);
	});

	test("without one has none, though its parent has", () => {
		expect(shell("echo typed > /dev/tty").exitCode).not.toBe(0);
	});
});

test("a raw terminal changes nothing, and has its old settings back", () => {
	const { master, slave } = linux.openPseudoTerminal();
	const before = linux.terminalMode(slave);
	linux.setTerminalMode(slave, linux.rawMode(before));
	linux.write(master, Buffer.from("a\x03\r"));
	const seen = Buffer.alloc(100);
	expect(seen.toString("latin1", 0, linux.read(slave, seen))).toBe("a\x03\r");
	linux.write(slave, Buffer.from("x\n"));
	expect(seen.toString("latin1", 0, linux.read(master, seen))).toBe("x\n");
	linux.setTerminalMode(slave, before);
	expect(linux.terminalMode(slave)).toEqual(before);
	for (const fd of [master, slave]) linux.close(fd);
});

test("every descriptor that is made is close-on-exec, though nobody asked for it", () => {
	const own = linux.openat(linux.AT_FDCWD, dir, linux.O_RDONLY | linux.O_DIRECTORY);
	const { readFd, writeFd } = linux.pipe2();
	const { master, slave } = linux.openPseudoTerminal();
	const context = native().fsopen("tmpfs", 0);
	linux.fsconfigCreate(context);
	const made = {
		own,
		readFd,
		writeFd,
		master,
		slave,
		context,
		openat2: linux.openat2(own, ".", { flags: linux.O_PATH }),
		dup: linux.dup(own),
		fsmount: native().fsmount(context, 0, 0),
		openTree: linux.openTree(own, "", linux.OPEN_TREE_CLONE | linux.AT_EMPTY_PATH),
		userns: linux.newUserNamespace("0 0 1\n", "0 0 1\n"),
		pidfd: linux.pidfdOpen(process.pid),
	};
	for (const [name, fd] of Object.entries(made)) {
		expect([name, isCloseOnExec(fd)]).toEqual([name, true]);
		linux.close(fd);
	}
});
