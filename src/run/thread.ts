/**
 * The thread behind `runInRoot`. A thread is a task of its own to the kernel: it leaves the process's namespaces
 * alone, makes its own, moves its root, and starts the command from there. All of it is synchronous.
 *
 * - `keeper`, a shell of the host, is the first process of the new process namespace, and waits at a pipe: when this
 *   process ends, however, the kernel ends the keeper and with it everything in the namespace.
 * - The command is then started after the root has moved, so that neither its name nor its environment (which an image may
 *   have chosen) is ever seen by a program of the host.
 * - Neither has any descriptor but 0 to 2, nor the caller's terminal: see stdio.ts.
 */
import { Buffer } from "node:buffer";
import { statSync } from "node:fs";
import path from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import * as linux from "../linux/index.ts";
import type { RunMessage, RunRequest } from "./contract.ts";
import { drain, makeStdio, pump, TTY_GID } from "./stdio.ts";

const HOST_ENV = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };
// Moving the root moves it for the keeper too, so it must not have a program left to look for.
const KEEPER = "echo ready; read -r end";

const DEVICES: readonly (readonly [name: string, major: number, minor: number])[] = [
	["null", 1, 3],
	["zero", 1, 5],
	["full", 1, 7],
	["random", 1, 8],
	["urandom", 1, 9],
	["tty", 5, 0],
];
const DEVICE_LINKS: readonly (readonly [name: string, target: string])[] = [
	["fd", "/proc/self/fd"],
	["stdin", "/proc/self/fd/0"],
	["stdout", "/proc/self/fd/1"],
	["stderr", "/proc/self/fd/2"],
	["ptmx", "pts/ptmx"],
];

const tell = (message: RunMessage): void => parentPort?.postMessage(message);

function run(request: RunRequest): RunMessage {
	linux.unshare(
		linux.CLONE_FS | linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWPID,
	);
	linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE);
	linux.sethostname(request.hostname);
	// pivot_root asks for a mount point of this namespace.
	linux.mount(request.root, request.root, "", linux.MS_BIND | linux.MS_REC);
	const rootFd = linux.openat(linux.AT_FDCWD, request.root, linux.O_PATH | linux.O_DIRECTORY);
	mountDev(rootFd);
	mountSys(rootFd);
	using keeper = startKeeper(rootFd);
	using stdio = makeStdio(() => openTerminal(rootFd), request);
	linux.fchdir(rootFd);
	linux.close(rootFd);
	linux.pivotRoot(".", ".");
	linux.umount2(".", linux.MNT_DETACH);
	linux.chdirThread("/");
	const { command, args, env, cwd, uid, gid } = request;
	let pid: number;
	try {
		pid = linux.spawnProgram({
			file: findCommand(command, cwd, env.PATH ?? ""),
			argv: [command, ...args],
			...{ env, cwd, uid, gid },
			fds: stdio.fds,
			terminal: stdio.master !== undefined,
		});
	} catch (error) {
		if (stdio.master !== undefined) linux.close(stdio.master);
		return startFailure(command, error);
	} finally {
		stdio.closeInside();
	}
	const pidfd = linux.pidfdOpen(pid);
	tell({ type: "started", pidfd, master: stdio.master });
	pump(pidfd, stdio);
	const exitCode = linux.waitForEnd(pid);
	keeper[Symbol.dispose]();
	drain(stdio);
	return { type: "ended", exitCode };
}

/** A directory of the root as a mount target, undefined where the root does not have it. */
function openIn(rootFd: number, name: string): number | undefined {
	try {
		return linux.openInRoot(rootFd, name, linux.O_PATH | linux.O_DIRECTORY);
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
		throw error;
	}
}

const byFd = (fd: number): string => `/proc/thread-self/fd/${fd}`;

function mountDev(rootFd: number): void {
	const target = openIn(rootFd, "dev");
	if (target === undefined) return;
	linux.mount("tmpfs", byFd(target), "tmpfs", linux.MS_NOSUID | linux.MS_NOEXEC, "mode=755,size=64k");
	linux.close(target);
	const dev = openIn(rootFd, "dev");
	if (dev === undefined) return;
	for (const [name, major, minor] of DEVICES) {
		linux.mknodat(dev, name, linux.S_IFCHR | 0o666, major, minor);
		// mknod goes by the umask.
		linux.fchmodat(dev, name, 0o666);
	}
	for (const [name, link] of DEVICE_LINKS) linux.symlinkat(link, dev, name);
	linux.mkdirat(dev, "pts", 0o755);
	const pts = openIn(dev, "pts");
	if (pts !== undefined) {
		linux.mount(
			"devpts",
			byFd(pts),
			"devpts",
			linux.MS_NOSUID | linux.MS_NOEXEC,
			`newinstance,ptmxmode=0666,mode=620,gid=${TTY_GID}`,
		);
		linux.close(pts);
	}
	linux.close(dev);
}

function mountSys(rootFd: number): void {
	const target = openIn(rootFd, "sys");
	if (target === undefined) return;
	const flags = linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC;
	try {
		linux.mount("sysfs", byFd(target), "sysfs", flags);
	} catch (error) {
		// In a container without sysfs of its own the kernel says no; few commands miss it.
		if (!linux.isSystemError(error, "EPERM", "EBUSY")) throw error;
	} finally {
		linux.close(target);
	}
}

/** Of the root's own devpts, so that the command finds it in its /dev/pts; of the host's where the root has no /dev. */
function openTerminal(rootFd: number): linux.PseudoTerminal {
	const pts = openIn(rootFd, "dev/pts");
	if (pts === undefined) return linux.openPseudoTerminal();
	try {
		return linux.openPseudoTerminal(pts, "ptmx");
	} finally {
		linux.close(pts);
	}
}

/** Starts the keeper, with /proc mounted where the root has one. Its disposal waits until the whole namespace is gone. */
function startKeeper(rootFd: number): Disposable {
	const proc = openIn(rootFd, "proc");
	const input = linux.pipe2();
	const output = linux.pipe2();
	if (proc !== undefined) linux.fchdir(proc);
	const pid = linux.spawnProgram({
		file: "/bin/sh",
		argv: ["sh", "-c", KEEPER],
		env: HOST_ENV,
		cwd: ".",
		uid: 0,
		gid: 0,
		fds: [input.readFd, output.writeFd, output.writeFd],
		mountProc: proc !== undefined,
	});
	for (const fd of [input.readFd, output.writeFd, ...(proc === undefined ? [] : [proc])]) linux.close(fd);
	let isOver = false;
	const end = (): void => {
		if (isOver) return;
		isOver = true;
		process.kill(pid, "SIGKILL");
		linux.waitForEnd(pid);
		for (const fd of [input.writeFd, output.readFd]) linux.close(fd);
	};
	const said = Buffer.alloc(256);
	const text = said.toString("utf8", 0, linux.read(output.readFd, said));
	if (text !== "ready\n") {
		end();
		throw new Error(`the host's /bin/sh does not run: ${text.trim()}`);
	}
	return { [Symbol.dispose]: end };
}

/** Where execvp(3) would find it. By now this thread's `/` is the root. */
function findCommand(command: string, cwd: string, searched: string): string {
	if (command.includes("/")) return command;
	for (const directory of searched.split(":")) {
		const file = path.resolve(cwd, directory, command);
		try {
			const stat = statSync(file);
			if (stat.isFile() && (stat.mode & 0o111) !== 0) return file;
		} catch {
			// Not there, or no way to there: then it is not this one.
		}
	}
	return path.resolve("/", "nowhere in PATH", command);
}

function startFailure(command: string, error: unknown): RunMessage {
	if (!linux.isSystemError(error)) throw error;
	const name = JSON.stringify(command);
	const { code: errno } = error;
	const because =
		errno === "ENOENT" || errno === "ENOTDIR"
			? (["ENOTFOUND", `the root has no command ${name} (or not its interpreter)`, 127] as const)
			: errno === "EACCES"
				? (["EPERMISSION", `${name} cannot be executed`, 126] as const)
				: (["ESYSTEM", `${name} cannot be started (${error.message})`, 126] as const);
	const [code, message, exitCode] = because;
	return { type: "failed", code, message, exitCode };
}

try {
	tell(run(workerData as RunRequest));
} catch (error) {
	tell({
		type: "failed",
		code: linux.isSystemError(error, "EPERM") ? "EPERMISSION" : "ESYSTEM",
		message: `the namespaces for the command cannot be made: ${error instanceof Error ? error.message : String(error)}`,
	});
}
