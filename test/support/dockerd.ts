/**
 * A real dockerd with its own data, sockets and pidfile, and a real containerd of its own where one is asked for.
 * Both are ended by their pid and leave no mount behind.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Daemon, type Output, run, runAsync } from "./processes.ts";
import { Service } from "./service.ts";

/** Another client may come first on PATH. */
const DOCKER = "/usr/bin/docker";
const CLIENT_ENV = { ...process.env, DOCKER_BUILDKIT: "0" };

export interface DockerdOptions {
	/** Graph driver, such as `overlay2` (default: what the configuration file says). */
	readonly driver?: string;
	/** Where everything of it is made (default: a temporary directory). */
	readonly home?: string;
	/** More arguments, such as `--userns-remap=…`. */
	readonly args?: readonly string[];
	/** Its configuration file. */
	readonly config?: string;
}

export class Dockerd extends Service {
	readonly host: string = `unix://${this.home}/docker.sock`;
	readonly root: string = path.join(this.home, "data");
	readonly #options: DockerdOptions;

	private constructor(options: DockerdOptions) {
		super(options.home);
		this.#options = options;
		writeFileSync(path.join(this.home, "daemon.json"), options.config ?? "{}");
	}

	static async start(options: DockerdOptions): Promise<Dockerd> {
		return new Dockerd(options).started();
	}

	protected spawn(): Daemon {
		const at = (name: string): string => path.join(this.home, name);
		const { driver, args = [] } = this.#options;
		rmSync(at("docker.pid"), { force: true });
		const words = [
			["--config-file", at("daemon.json"), "--data-root", this.root, "--exec-root", at("exec")],
			["--pidfile", at("docker.pid"), "-H", this.host, "--userland-proxy=false"],
			["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"],
			[
				"--exec-opt",
				"native.cgroupdriver=cgroupfs",
				...(driver === undefined ? [] : ["-s", driver]),
				...args,
			],
		];
		return new Daemon("/usr/sbin/dockerd", words.flat(), { logFile: at("dockerd.log") });
	}

	protected answers(): boolean {
		return existsSync(path.join(this.home, "docker.sock")) && this.#tried("version").code === 0;
	}

	override async stop(signal?: NodeJS.Signals): Promise<void> {
		await super.stop(signal);
		if (signal === "SIGKILL") await this.#endContainerd();
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

	/** Runs the client and gives its standard output; blocks this process's event loop. */
	docker(...args: string[]): string {
		return run(DOCKER, ["-H", this.host, ...args]).stdout;
	}

	/** The same without blocking. */
	async dockerAsync(...args: string[]): Promise<string> {
		return (await runAsync(DOCKER, ["-H", this.host, ...args], { env: CLIENT_ENV })).stdout;
	}

	/** The same, for calls that may fail. */
	tryDocker(...args: string[]): Promise<Output> {
		return runAsync(DOCKER, ["-H", this.host, ...args], { env: CLIENT_ENV, mayFail: true });
	}

	#tried(...args: string[]): Output {
		return run(DOCKER, ["-H", this.host, ...args], { mayFail: true, timeoutMs: 60_000 });
	}

	override async [Symbol.asyncDispose](): Promise<void> {
		const ids = this.running ? this.#tried("ps", "-q").stdout.split("\n").filter(Boolean) : [];
		if (ids.length > 0) this.#tried("kill", ...ids);
		await this.stop();
		killShims(this.home);
		await super[Symbol.asyncDispose]();
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
