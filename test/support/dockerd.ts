/**
 * A real dockerd with its own data, sockets and pidfile, and a real containerd of its own where one is asked for.
 * Both are ended by their pid and leave no mount behind.
 */
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { unmountBelow } from "./filesystems.ts";
import { Daemon, type Output, run, runAsync } from "./processes.ts";

/** Another client may come first on PATH. */
const DOCKER = "/usr/bin/docker";

export interface DockerdOptions {
	/** Graph driver: `overlay2`, `lamella`, … */
	readonly driver: string;
	/** Where data-root is made (default: a temporary directory). */
	readonly home?: string;
	/** More arguments, such as `--experimental` or `--userns-remap=…`. */
	readonly args?: readonly string[];
	readonly env?: NodeJS.ProcessEnv;
}

export class Dockerd implements AsyncDisposable {
	readonly home: string;
	readonly host: string;
	#daemon: Daemon;
	readonly #options: DockerdOptions;
	readonly #ownsHome: boolean;

	private constructor(home: string, ownsHome: boolean, options: DockerdOptions) {
		this.home = home;
		this.host = `unix://${home}/docker.sock`;
		this.#ownsHome = ownsHome;
		this.#options = options;
		this.#daemon = this.#spawn();
	}

	static async start(options: DockerdOptions): Promise<Dockerd> {
		const home = options.home ?? mkdtempSync(path.join(tmpdir(), "lamella-dockerd-"));
		mkdirSync(home, { recursive: true });
		const dockerd = new Dockerd(home, options.home === undefined, options);
		try {
			await dockerd.#ready();
		} catch (error) {
			await dockerd[Symbol.asyncDispose]();
			throw error;
		}
		return dockerd;
	}

	get pid(): number {
		return this.#daemon.pid;
	}

	get root(): string {
		return path.join(this.home, "data");
	}

	log(): string {
		return this.#daemon.log();
	}

	#spawn(): Daemon {
		const config = path.join(this.home, "daemon.json");
		writeFileSync(config, "{}");
		rmSync(path.join(this.home, "docker.pid"), { force: true });
		return new Daemon(
			"/usr/sbin/dockerd",
			[
				"--config-file",
				config,
				"--data-root",
				this.root,
				"--exec-root",
				path.join(this.home, "exec"),
				"--pidfile",
				path.join(this.home, "docker.pid"),
				"-H",
				this.host,
				"--bridge=none",
				"--iptables=false",
				"--ip6tables=false",
				"--ip-forward=false",
				"--ip-masq=false",
				"--userland-proxy=false",
				"--exec-opt",
				"native.cgroupdriver=cgroupfs",
				"-s",
				this.#options.driver,
				...(this.#options.args ?? []),
			],
			{
				logFile: path.join(this.home, "dockerd.log"),
				...(this.#options.env === undefined ? {} : { env: this.#options.env }),
			},
		);
	}

	async #ready(): Promise<void> {
		await this.#daemon.until(
			() =>
				existsSync(path.join(this.home, "docker.sock")) &&
				run(DOCKER, ["-H", this.host, "version"], { mayFail: true }).code === 0,
			90_000,
		);
	}

	/** Ends the daemon by that signal and starts it again on the same data. */
	async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
		await this.#daemon.stop(signal);
		if (signal === "SIGKILL") await this.#endContainerd();
		this.#daemon = this.#spawn();
		await this.#ready();
	}

	/**
	 * dockerd's own containerd dies with it, but stays a zombie where process 1 reaps nobody, and the next dockerd
	 * then waits for it in vain. Containers live on in their shims.
	 */
	async #endContainerd(): Promise<void> {
		const pidFile = path.join(this.home, "exec/containerd/containerd.pid");
		if (!existsSync(pidFile)) return;
		const pid = Number(readFileSync(pidFile, "utf8"));
		for (let tries = 0; tries < 200 && isRunning(pid); tries++) {
			if (tries === 100) process.kill(pid, "SIGKILL");
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
		rmSync(pidFile, { force: true });
	}

	async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
		await this.#daemon.stop(signal);
	}

	/** Runs the client and gives its standard output; blocks this process's event loop. */
	docker(...args: string[]): string {
		return run(DOCKER, ["-H", this.host, ...args]).stdout;
	}

	/** Runs the client without blocking; `mayFail` by looking at `code`. */
	async dockerAsync(
		args: readonly string[],
		options: { mayFail?: boolean; cwd?: string } = {},
	): Promise<Output> {
		return runAsync(DOCKER, ["-H", this.host, ...args], {
			...options,
			env: { ...process.env, DOCKER_BUILDKIT: "0" },
		});
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#daemon.running) {
			const ids = run(DOCKER, ["-H", this.host, "ps", "-q"], { mayFail: true, timeoutMs: 20_000 })
				.stdout.split("\n")
				.filter(Boolean);
			if (ids.length > 0)
				run(DOCKER, ["-H", this.host, "kill", ...ids], { mayFail: true, timeoutMs: 60_000 });
		}
		await this.#daemon.stop();
		killShims(this.home);
		unmountBelow(this.home);
		if (this.#ownsHome) rmSync(this.home, { recursive: true, force: true });
	}
}

/** Whether it is there and no zombie. */
function isRunning(pid: number): boolean {
	try {
		return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
	} catch {
		return false;
	}
}

/** Ends the containers of a dockerd that was killed: its shims name its directory on their command line. */
function killShims(home: string): void {
	for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
		try {
			const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
			if (!words[0]?.endsWith("containerd-shim-runc-v2")) continue;
			if (!words.some((word) => word.startsWith(`${home}/`))) continue;
			const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
			for (const child of [pid, ...children.split(" ").filter(Boolean)])
				process.kill(Number(child), "SIGKILL");
		} catch {
			// It ended meanwhile.
		}
	}
}
