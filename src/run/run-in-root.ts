/** Runs a command with a mounted layer as its root, for trying things. What isolates it is in thread.ts. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { escapePath, LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";
import type { RunMessage, RunRequest, SignalMessage } from "./contract.ts";
import { lookUpUser } from "./user.ts";

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
	/** Ends the command with SIGTERM; its `reason`, where that is a signal's name, says which signal it gets. */
	readonly signal?: AbortSignal | undefined;
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Runs a command in mount, process, IPC and host name namespaces of its own, with /proc, /dev and /sys mounted. When it ends, so
 * does everything that it started. Its stdin, stdout and stderr are this process's.
 *
 * A convenience, not a sandbox: it keeps all capabilities, the host's network and the host's cgroups.
 * @returns the command's exit code; 128 and the signal's number where a signal ended it
 * @throws {LamellaError} `ENOTFOUND` (command, user or working directory), `EPERMISSION` (not executable, or no root),
 *   `ESYSTEM`
 */
export async function runInRoot(options: RunInRootOptions): Promise<number> {
	const { root, command, args = [], env = {}, cwd = "/", user = "", hostname = "lamella", signal } = options;
	signal?.throwIfAborted();
	const rootFd = linux.openat(linux.AT_FDCWD, root, linux.O_PATH | linux.O_DIRECTORY);
	let request: RunRequest;
	try {
		checkDirectory(rootFd, cwd);
		const ids = lookUpUser(rootFd, user);
		request = { root, command, args, env: { PATH: DEFAULT_PATH, ...env }, cwd, ...ids, hostname };
	} finally {
		linux.close(rootFd);
	}
	const thread = new Worker(threadModule(), { workerData: request });
	const passSignal = (): void => {
		const name: unknown = signal?.reason;
		const message: SignalMessage = { signal: name === "SIGINT" || name === "SIGHUP" ? name : "SIGTERM" };
		thread.postMessage(message);
	};
	signal?.addEventListener("abort", passSignal, { once: true });
	try {
		const message = await new Promise<RunMessage>((resolve, reject) => {
			thread.once("message", resolve);
			thread.once("error", reject);
			thread.once("exit", () =>
				reject(new LamellaError("ESYSTEM", "the thread that runs the command ended early")),
			);
		});
		if (message.type === "failed") throw new LamellaError(message.code, message.message);
		return message.exitCode;
	} finally {
		signal?.removeEventListener("abort", passSignal);
		// Its end lets go of the mount namespace, and with that of the root.
		await thread.terminate();
	}
}

function checkDirectory(rootFd: number, cwd: string): void {
	try {
		linux.close(
			linux.openat2(rootFd, cwd, {
				flags: linux.O_PATH | linux.O_DIRECTORY,
				resolve: linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS,
			}),
		);
	} catch (error) {
		if (!linux.isSystemError(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
		const path = escapePath(Buffer.from(cwd));
		throw new LamellaError("ENOTFOUND", `the root has no directory ${path} to work in; choose another`, {
			path,
			cause: error,
		});
	}
}

/** Threads run compiled code: in tests, where this is src/, its twin in dist/. */
function threadModule(): URL {
	if (!import.meta.url.endsWith(".ts")) return new URL("../run/thread.js", import.meta.url);
	const compiled = new URL("../../dist/run/thread.js", import.meta.url);
	if (!existsSync(fileURLToPath(compiled))) {
		throw new LamellaError("ENATIVE", "dist/run/thread.js is not there yet; npm run build makes it");
	}
	return compiled;
}
