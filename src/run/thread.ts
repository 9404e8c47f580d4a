/**
 * The thread behind `runInRoot`. A thread is a task of its own to the kernel: it leaves the process's namespaces
 * alone, makes its own, moves its root, and starts the command from there.
 *
 * - `keeper`, a program of the host, is the first process of the new process namespace. It mounts /proc, which only
 *   someone inside can, and then waits at a pipe: when this process ends, however, the kernel ends the keeper and with it
 *   everything in the namespace.
 * - The command is then started after the root has moved, so that neither its name nor its environment (which an image may
 *   have chosen) is ever seen by a program of the host.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import * as linux from "../linux/index.ts";
import type { RunMessage, RunRequest, SignalMessage } from "./contract.ts";

const HOST_ENV = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };
// fd 3 is the root's /proc, where it has one.
const KEEPER = 'mount -t proc -o nosuid,nodev,noexec proc "$1" && exec cat';
const KEEPER_WITHOUT_PROC = "exec cat";

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

async function run(request: RunRequest): Promise<RunMessage> {
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
	const keeper = await startKeeper(rootFd);
	try {
		linux.fchdir(rootFd);
		linux.close(rootFd);
		linux.pivotRoot(".", ".");
		linux.umount2(".", linux.MNT_DETACH);
		linux.chdirThread("/");
		return await runCommand(request);
	} finally {
		keeper.kill("SIGKILL");
		if (keeper.exitCode === null && keeper.signalCode === null) await once(keeper, "exit");
	}
}

/** A directory of the root as a mount target, undefined where the root does not have it. */
function openIn(rootFd: number, name: string): number | undefined {
	try {
		return linux.openat2(rootFd, name, {
			flags: linux.O_PATH | linux.O_DIRECTORY,
			resolve: linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS,
		});
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
			"newinstance,ptmxmode=0666,mode=620",
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

async function startKeeper(rootFd: number): Promise<ChildProcess> {
	const proc = openIn(rootFd, "proc");
	const keeper = spawn(
		"/bin/sh",
		["-c", proc === undefined ? KEEPER_WITHOUT_PROC : KEEPER, "keeper", "/proc/self/fd/3"],
		{ env: HOST_ENV, cwd: "/", stdio: ["pipe", "pipe", "inherit", proc ?? "ignore"] },
	);
	try {
		// Moving the root moves it for the keeper too, so it must not have a program left to look for: that cat gives
		// back a line says that it runs.
		keeper.stdin?.write("ready\n");
		const ready = await Promise.race([
			once(keeper.stdout as NodeJS.ReadableStream, "data").then(() => true),
			once(keeper, "exit").then(() => false),
		]);
		if (!ready) throw new Error("mounting /proc in the root failed");
	} finally {
		if (proc !== undefined) linux.close(proc);
	}
	return keeper;
}

async function runCommand({ command, args, env, cwd, uid, gid }: RunRequest): Promise<RunMessage> {
	const child = spawn(command, args, { env, cwd, uid, gid, stdio: [0, 1, 2] });
	parentPort?.on("message", ({ signal }: SignalMessage) => child.kill(signal));
	const ended = await new Promise<RunMessage>((resolve) => {
		child.once("error", (error: NodeJS.ErrnoException) => resolve(startFailure(command, error)));
		child.once("exit", (code, signal) =>
			resolve({ type: "ended", exitCode: signal === null ? (code ?? 0) : 128 + constants.signals[signal] }),
		);
	});
	return ended;
}

function startFailure(command: string, error: NodeJS.ErrnoException): RunMessage {
	const name = JSON.stringify(command);
	switch (error.code) {
		case "ENOENT":
			return {
				type: "failed",
				code: "ENOTFOUND",
				message: `the root has no command ${name} (or not its interpreter)`,
			};
		case "EACCES":
			return { type: "failed", code: "EPERMISSION", message: `${name} cannot be executed` };
		default:
			return { type: "failed", code: "ESYSTEM", message: `${name} cannot be started (${error.message})` };
	}
}

try {
	parentPort?.postMessage(await run(workerData as RunRequest));
} catch (error) {
	const message = error instanceof Error ? error.message : String(error);
	const failed: RunMessage = {
		type: "failed",
		code: linux.isSystemError(error, "EPERM") ? "EPERMISSION" : "ESYSTEM",
		message: `the namespaces for the command cannot be made: ${message}`,
	};
	parentPort?.postMessage(failed);
}
