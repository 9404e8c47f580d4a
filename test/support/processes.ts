/**
 * Child processes of tests: started with their own process group, always ended by pid, with their output kept
 * for the failure message.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

export interface Output {
	readonly code: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** Runs a command to its end and throws with its output where it failed. */
export function run(
	command: string,
	args: readonly string[],
	options: {
		env?: NodeJS.ProcessEnv;
		cwd?: string;
		input?: string | Uint8Array;
		mayFail?: boolean;
		timeoutMs?: number;
	} = {},
): Output {
	const done = spawnSync(command, args, {
		env: options.env ?? process.env,
		cwd: options.cwd,
		input: options.input,
		encoding: "utf8",
		maxBuffer: 1 << 28,
		timeout: options.timeoutMs ?? 300_000,
	});
	const output: Output = { code: done.status, stdout: done.stdout ?? "", stderr: done.stderr ?? "" };
	if (done.error !== undefined) throw done.error;
	if (done.status !== 0 && options.mayFail !== true) {
		throw new Error(
			`${command} ${args.join(" ")} ended with ${done.status ?? done.signal}\n${output.stdout}\n${output.stderr}`,
		);
	}
	return output;
}

/** The same without blocking the event loop (where a server in this process has to answer meanwhile). */
export async function runAsync(
	command: string,
	args: readonly string[],
	options: { env?: NodeJS.ProcessEnv; cwd?: string; input?: string; mayFail?: boolean } = {},
): Promise<Output> {
	const child = spawn(command, args, {
		env: options.env ?? process.env,
		cwd: options.cwd,
		stdio: ["pipe", "pipe", "pipe"],
	});
	// Who does not read its input still answers.
	child.stdin.on("error", () => {});
	child.stdin.end(options.input ?? "");
	let stdout = "";
	let stderr = "";
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		stdout += text;
	});
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	const code = await new Promise<number | null>((resolve, reject) => {
		child.on("error", reject);
		child.on("close", resolve);
	});
	if (code !== 0 && options.mayFail !== true) {
		throw new Error(`${command} ${args.join(" ")} ended with ${code}\n${stdout}\n${stderr}`);
	}
	return { code, stdout, stderr };
}

/** Waits until it is so, a minute at most. */
export async function until(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
	const end = Date.now() + 60_000;
	while (!(await is())) {
		if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

/** A daemon that a test started. */
export class Daemon implements AsyncDisposable {
	readonly name: string;
	readonly pid: number;
	readonly #logFile: string;
	readonly #child: ChildProcess;
	readonly #ended: Promise<void>;
	#running = true;

	constructor(
		command: string,
		args: readonly string[],
		options: { logFile: string; env?: NodeJS.ProcessEnv | undefined },
	) {
		const log = openSync(options.logFile, "a");
		this.name = command;
		this.#logFile = options.logFile;
		this.#child = spawn(command, args, { stdio: ["ignore", log, log], env: options.env ?? process.env });
		closeSync(log);
		this.#ended = new Promise((resolve) => {
			for (const event of ["exit", "error"]) {
				this.#child.once(event, () => {
					this.#running = false;
					resolve();
				});
			}
		});
		if (this.#child.pid === undefined) throw new Error(`${command} could not be started`);
		this.pid = this.#child.pid;
	}

	get running(): boolean {
		return this.#running;
	}

	log(): string {
		return readFileSync(this.#logFile, "utf8");
	}

	/** Waits until `ready` says so; throws with the log where the daemon ends first or time is over. */
	async until(ready: () => boolean | Promise<boolean>, timeoutMs = 90_000): Promise<void> {
		const end = Date.now() + timeoutMs;
		while (!(await ready())) {
			const problem = this.#running ? "was not ready in time" : "ended while it was waited for";
			if (!this.#running || Date.now() > end)
				throw new Error(`${this.name} ${problem}:\n${this.log().slice(-4000)}`);
			await new Promise((resolve) => setTimeout(resolve, 50));
		}
	}

	/** Sends the signal and waits for the end; SIGKILL where it does not come. */
	async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
		if (!this.#running) return;
		this.#child.kill(signal);
		const timer = setTimeout(() => this.#child.kill("SIGKILL"), 30_000);
		await this.#ended;
		clearTimeout(timer);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop();
	}
}
