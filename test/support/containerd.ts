/** A real containerd with its own state and sockets, and `ctr` for it. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { unmountBelow } from "./filesystems.ts";
import { Daemon, type Output, run, runAsync } from "./processes.ts";

export interface ContainerdOptions {
	/** Where its state is made (default: a temporary directory). */
	readonly home?: string;
	/** TOML appended to its configuration, such as `[proxy_plugins.lamella]`. */
	readonly config?: string;
}

export class Containerd implements AsyncDisposable {
	readonly home: string;
	readonly address: string;
	#daemon: Daemon;
	readonly #ownsHome: boolean;

	private constructor(home: string, ownsHome: boolean, options: ContainerdOptions) {
		this.home = home;
		this.address = path.join(home, "containerd.sock");
		this.#ownsHome = ownsHome;
		writeFileSync(
			path.join(home, "config.toml"),
			[
				"version = 2",
				`root = "${home}/root"`,
				`state = "${home}/state"`,
				// CRI wants a network configuration and its own sandbox image: not what is tested here.
				'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
				"[grpc]",
				`  address = "${this.address}"`,
				"[ttrpc]",
				`  address = "${this.address}.ttrpc"`,
				options.config ?? "",
				"",
			].join("\n"),
		);
		this.#daemon = this.#spawn();
	}

	static async start(options: ContainerdOptions = {}): Promise<Containerd> {
		const home = options.home ?? mkdtempSync(path.join(tmpdir(), "lamella-ctd-"));
		mkdirSync(home, { recursive: true });
		const containerd = new Containerd(home, options.home === undefined, options);
		try {
			await containerd.#ready();
		} catch (error) {
			await containerd[Symbol.asyncDispose]();
			throw error;
		}
		return containerd;
	}

	get pid(): number {
		return this.#daemon.pid;
	}

	log(): string {
		return this.#daemon.log();
	}

	#spawn(): Daemon {
		return new Daemon("/usr/bin/containerd", ["--config", path.join(this.home, "config.toml")], {
			logFile: path.join(this.home, "containerd.log"),
		});
	}

	async #ready(): Promise<void> {
		await this.#daemon.until(
			() =>
				existsSync(this.address) &&
				run("/usr/bin/ctr", ["-a", this.address, "version"], { mayFail: true }).code === 0,
		);
	}

	async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
		await this.#daemon.stop(signal);
		this.#daemon = this.#spawn();
		await this.#ready();
	}

	/** Runs ctr and gives its standard output; blocks this process's event loop. */
	ctr(...args: string[]): string {
		return run("/usr/bin/ctr", ["-a", this.address, ...args]).stdout;
	}

	async ctrAsync(args: readonly string[], options: { mayFail?: boolean } = {}): Promise<Output> {
		return runAsync("/usr/bin/ctr", ["-a", this.address, ...args], options);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#daemon.running) {
			const tasks = run("/usr/bin/ctr", ["-a", this.address, "tasks", "ls", "-q"], {
				mayFail: true,
				timeoutMs: 20_000,
			});
			for (const id of tasks.stdout.split("\n").filter(Boolean)) {
				run("/usr/bin/ctr", ["-a", this.address, "tasks", "rm", "-f", id], {
					mayFail: true,
					timeoutMs: 20_000,
				});
			}
		}
		await this.#daemon.stop();
		unmountBelow(this.home);
		if (this.#ownsHome) rmSync(this.home, { recursive: true, force: true });
	}
}
