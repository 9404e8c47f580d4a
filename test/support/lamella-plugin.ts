/** `lamella serve docker` as its own process, found by dockerd under a name through a .spec file. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { unmountBelow } from "./filesystems.ts";
import { CLI } from "./lamella.ts";
import { PluginClient } from "./plugin-client.ts";
import { Daemon } from "./processes.ts";

const SPECS = "/etc/docker/plugins";

export class LamellaPlugin implements AsyncDisposable {
	/** What dockerd's `-s` takes. */
	readonly name: string;
	readonly home: string;
	readonly socket: string;
	readonly #spec: string;
	readonly #logLevel: string;
	#daemon: Daemon;

	private constructor(name: string, logLevel: string) {
		this.#logLevel = logLevel;
		this.name = name;
		this.home = mkdtempSync(path.join(tmpdir(), "lamella-plugin-"));
		this.socket = path.join(this.home, "run/lamella.sock");
		this.#spec = path.join(SPECS, `${name}.spec`);
		mkdirSync(SPECS, { recursive: true });
		writeFileSync(this.#spec, `unix://${this.socket}`);
		this.#daemon = this.#spawn();
	}

	static async start(name = "lamella", logLevel = "debug"): Promise<LamellaPlugin> {
		const plugin = new LamellaPlugin(name, logLevel);
		try {
			await plugin.#ready();
		} catch (error) {
			await plugin[Symbol.asyncDispose]();
			throw error;
		}
		return plugin;
	}

	get pid(): number {
		return this.#daemon.pid;
	}

	log(): string {
		return this.#daemon.log();
	}

	client(): PluginClient {
		return new PluginClient(this.socket);
	}

	#spawn(): Daemon {
		const state = path.join(this.home, "state");
		return new Daemon(
			process.execPath,
			[CLI, "serve", "docker", "--socket", this.socket, "--state-dir", state, "--log-level", this.#logLevel],
			{ logFile: path.join(this.home, "lamella.log") },
		);
	}

	async #ready(): Promise<void> {
		await this.#daemon.until(async () => {
			using client = this.client();
			try {
				return (await client.post("/Plugin.Activate")).status === 200;
			} catch {
				// Not listening yet.
				return false;
			}
		});
	}

	async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
		await this.#daemon.stop(signal);
	}

	async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
		await this.#daemon.stop(signal);
		this.#daemon = this.#spawn();
		await this.#ready();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#daemon.stop();
		rmSync(this.#spec, { force: true });
		unmountBelow(this.home);
		rmSync(this.home, { recursive: true, force: true });
	}
}
