/**
 * Owns child processes at the kernel's own level: starting a program with no descriptor but 0 to 2, waiting for its end,
 * signals to exactly this process (pidfd), and waiting for descriptors (poll). Node's child_process can neither give a
 * child a controlling terminal nor close what others left open.
 */
import { Buffer } from "node:buffer";
import { check, EINTR, uninterrupted } from "./errno.ts";
import { native } from "./native.ts";

export interface Program {
	/** Its path; nothing is searched. */
	readonly file: string;
	/** With the name it is called by. */
	readonly argv: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	/** Working directory; relative to the calling thread's. */
	readonly cwd: string;
	readonly uid: number;
	readonly gid: number;
	/** What become its descriptors 0 to 2. It gets no others. */
	readonly fds: readonly [stdin: number, stdout: number, stderr: number];
	/** `fds[0]` is the terminal of its session. */
	readonly terminal?: boolean | undefined;
	/** Mounts /proc on `cwd` before it runs, in `/`: as only the first process of a process namespace can. */
	readonly mountProc?: boolean | undefined;
}

const SPAWN_TERMINAL = 1;
const SPAWN_PROC = 2;

/**
 * Starts a program as a child that leads a session of its own. Returns its pid; `waitForEnd` has to be called.
 * @throws {SystemError} ENOENT, EACCES, ENOEXEC and others of execve(2); of what comes before it
 */
export function spawnProgram(program: Program): number {
	const { file, argv, env, cwd, uid, gid, fds } = program;
	const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
	const strings = Buffer.from([file, cwd, ...argv, ...variables].map((text) => `${text}\0`).join(""));
	const pointers = new Uint8Array(new ArrayBuffer(8 * (argv.length + variables.length + 2)));
	const flags =
		(program.terminal === true ? SPAWN_TERMINAL : 0) | (program.mountProc === true ? SPAWN_PROC : 0);
	return check(
		native().spawn(strings, pointers, argv.length, variables.length, ...fds, uid, gid, flags),
		"spawn",
		file,
	);
}

/** Wait for children of every kind (wait4(2)). */
const WALL = 0x4000_0000;

/** Waits for a child's end. Its exit code, or 128 and the number of the signal that ended it. @throws {SystemError} ECHILD */
export function waitForEnd(pid: number): number {
	const status = new Int32Array(1);
	check(
		uninterrupted(() => native().wait4(pid, WALL, new Uint8Array(status.buffer))),
		"wait4",
	);
	const [word = 0] = status;
	const signal = word & 0x7f;
	return signal === 0 ? (word >> 8) & 0xff : 128 + signal;
}

/** A descriptor for a process: it can be polled for its end, and never means another one. @throws {SystemError} ESRCH */
export function pidfdOpen(pid: number): number {
	return check(native().pidfd_open(pid), "pidfd_open");
}

const ESRCH = 3;

/** Sends a signal; false where the process has ended. @throws {SystemError} EPERM */
export function pidfdSendSignal(pidfd: number, signal: number): boolean {
	const result = native().pidfd_send_signal(pidfd, signal);
	if (result === -ESRCH) return false;
	check(result, "pidfd_send_signal");
	return true;
}

export const POLLIN = 1;
export const POLLOUT = 4;

/**
 * Waits until one of the descriptors is ready for its events, or for `timeoutMs`. Returns what each is ready for (POLLERR
 * and POLLHUP too), in order; all 0 after the timeout or a signal. @throws {SystemError}
 */
export function poll(
	waits: readonly { readonly fd: number; readonly events: number }[],
	timeoutMs: number,
): readonly number[] {
	const set = new Int32Array(waits.length * 2);
	for (const [index, { fd, events }] of waits.entries()) set.set([fd, events], index * 2);
	const result = native().poll(new Uint8Array(set.buffer), timeoutMs);
	if (result !== -EINTR) check(result, "ppoll");
	// struct pollfd: int fd, short events, short revents.
	return waits.map((_, index) => (set[index * 2 + 1] ?? 0) >> 16);
}
