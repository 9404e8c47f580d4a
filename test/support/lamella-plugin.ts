/** `lamella serve docker` as its own process, found by dockerd under a name through a .spec file. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { CLI } from "./lamella.ts";
import { PluginClient } from "./plugin-client.ts";
import { Daemon } from "./processes.ts";
import { Service } from "./service.ts";

const SPECS = "/etc/docker/plugins";

export class LamellaPlugin extends Service {
	/** What dockerd's `-s` takes. */
	readonly name: string;
	readonly socket: string = path.join(this.home, "run/lamella.sock");
	readonly #spec: string;
	readonly #logLevel: string;

	private constructor(name: string, logLevel: string) {
		super();
		this.#logLevel = logLevel;
		this.name = name;
		this.#spec = path.join(SPECS, `${name}.spec`);
		mkdirSync(SPECS, { recursive: true });
		writeFileSync(this.#spec, `unix://${this.socket}`);
	}

	static async start(name = "lamella", logLevel = "debug"): Promise<LamellaPlugin> {
		return new LamellaPlugin(name, logLevel).started();
	}

	client(): PluginClient {
		return new PluginClient(this.socket);
	}

	protected spawn(): Daemon {
		const state = path.join(this.home, "state");
		return new Daemon(
			process.execPath,
			[CLI, "serve", "docker", "--socket", this.socket, "--state-dir", state, "--log-level", this.#logLevel],
			{ logFile: path.join(this.home, "lamella.log") },
		);
	}

	protected answers(): Promise<boolean> {
		return pluginAnswers(this.socket);
	}

	override async [Symbol.asyncDispose](): Promise<void> {
		await super[Symbol.asyncDispose]();
		rmSync(this.#spec, { force: true });
	}
}

export async function pluginAnswers(socket: string): Promise<boolean> {
	using client = new PluginClient(socket);
	try {
		return (await client.post("/Plugin.Activate")).status === 200;
	} catch {
		// Not listening yet.
		return false;
	}
}
