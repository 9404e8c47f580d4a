import { constants } from "node:os";
import { Worker } from "node:worker_threads";
import { escapePath, LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";
import { CallerTerminal } from "./caller-terminal.ts";
import { CommandStartError, type RunMessage, type RunRequest } from "./contract.ts";
import { lookUpUser, type UserIds } from "./user.ts";

export interface RunInRootOptions {
	/** The directory that becomes `/`, such as a mount's path. */
	readonly root: string;
	/** Looked for within the root, by the PATH of `env`. */
	readonly command: string;
	readonly args?: readonly string[] | undefined;
	/** The whole environment. */
	readonly env?: Readonly<Record<string, string>> | undefined;
	/** Within the root. Default `/`. */
	readonly cwd?: string | undefined;
	/** `NAME`, `UID`, `NAME:GROUP` or `UID:GID`, by the root's own etc/passwd. Default root. */
	readonly user?: string | undefined;
	readonly hostname?: string | undefined;
	/** Ends the command with SIGTERM. */
	readonly signal?: AbortSignal | undefined;
	/** The command, and not this process, gets the signals that others send to this process. */
	readonly passSignals?: boolean | undefined;
}

/** All that end a process and can be caught; SIGPIPE and SIGCHLD are this process's own affair. */
const PASSED: readonly NodeJS.Signals[] = [
	...(["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM"] as const),
	...(["SIGVTALRM", "SIGXCPU", "SIGXFSZ", "SIGIO", "SIGPWR", "SIGSTKFLT", "SIGSYS", "SIGTRAP"] as const),
];

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Runs a command in mount, process, IPC and host name namespaces of its own, with /proc, /dev and /sys mounted. When it ends, so
 * does everything that it started. Its stdin, stdout and stderr are this process's, but for terminals: see stdio.ts.
 *
 * A convenience, not a sandbox: it keeps all capabilities, the host's network and the host's cgroups.
 * @returns the command's exit code; 128 and the signal's number where a signal ended it
 * @throws {LamellaError} `ENOTFOUND` (command, user or working directory), `EPERMISSION` (not executable, or no root),
 *   `ESYSTEM`; a `CommandStartError` where the command itself cannot be started
 */
export async function runInRoot(options: RunInRootOptions): Promise<number> {
	const { root, command, args = [], env = {}, cwd = "/", user = "", hostname = "lamella", signal } = options;
	signal?.throwIfAborted();
	const rootFd = linux.openat(linux.AT_FDCWD, root, linux.O_PATH | linux.O_DIRECTORY);
	let ids: UserIds;
	try {
		checkDirectory(rootFd, cwd);
		ids = lookUpUser(rootFd, user);
	} finally {
		linux.close(rootFd);
	}
	using terminal = new CallerTerminal();
	const request: RunRequest = {
		...{ root, command, args, cwd, ...ids, hostname },
		env: { PATH: DEFAULT_PATH, ...env },
		terminal: terminal.isThere,
	};
	const thread = new Worker(linux.distFile(import.meta.url, "run/thread.js"), { workerData: request });
	let started: Extract<RunMessage, { type: "started" }> | undefined;
	const early: NodeJS.Signals[] = [];
	const pass = (name: NodeJS.Signals): void => {
		if (started === undefined) early.push(name);
		else linux.pidfdSendSignal(started.pidfd, constants.signals[name]);
	};
	const abort = (): void => pass("SIGTERM");
	signal?.addEventListener("abort", abort, { once: true });
	if (options.passSignals === true) for (const name of PASSED) process.on(name, pass);
	try {
		const message = await new Promise<RunMessage>((resolve, reject) => {
			thread.on("message", (message: RunMessage) => {
				if (message.type !== "started") return resolve(message);
				started = message;
				terminal.follow(message.master);
				for (const name of early) pass(name);
			});
			thread.once("error", reject);
			thread.once("exit", () =>
				reject(new LamellaError("ESYSTEM", "the thread that runs the command ended early")),
			);
		});
		if (message.type === "ended") return message.exitCode;
		if (message.type !== "failed") throw new Error(`unexpected: ${message.type}`);
		const { code, message: text, exitCode } = message;
		throw exitCode === undefined ? new LamellaError(code, text) : new CommandStartError(code, text, exitCode);
	} finally {
		signal?.removeEventListener("abort", abort);
		for (const name of PASSED) process.off(name, pass);
		terminal.follow(undefined);
		// Its end lets go of the mount namespace, and with that of the root.
		await thread.terminate();
		if (started !== undefined) {
			linux.close(started.pidfd);
			if (started.master !== undefined) linux.close(started.master);
		}
	}
}

function checkDirectory(rootFd: number, cwd: string): void {
	try {
		linux.close(linux.openInRoot(rootFd, cwd, linux.O_PATH | linux.O_DIRECTORY));
	} catch (error) {
		if (!linux.isSystemError(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
		const path = escapePath(Buffer.from(cwd));
		throw new LamellaError("ENOTFOUND", `the root has no directory ${path} to work in; choose another`, {
			path,
			cause: error,
		});
	}
}
