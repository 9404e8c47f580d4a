/** A real containerd with its own state and sockets, and `ctr` for it. */
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Daemon, type Output, run, runAsync } from "./processes.ts";
import { Service } from "./service.ts";

const CTR = "/usr/bin/ctr";

export class Containerd extends Service {
	readonly address: string = path.join(this.home, "containerd.sock");

	/** `snapshotters` it has beside its own: sockets by name. */
	static async start(home: string, snapshotters: Readonly<Record<string, string>>): Promise<Containerd> {
		const containerd = new Containerd(home);
		const plugins = Object.entries(snapshotters).map(
			([name, socket]) => `[proxy_plugins.${name}]\ntype = "snapshot"\naddress = "${socket}"\n`,
		);
		writeFileSync(
			path.join(home, "config.toml"),
			`version = 2
			root = "${home}/root"
			state = "${home}/state"
			# CRI wants a network configuration and its own sandbox image: not what is tested here.
			disabled_plugins = ["io.containerd.grpc.v1.cri"]
			[grpc]
			address = "${containerd.address}"
			[ttrpc]
			address = "${containerd.address}.ttrpc"
			${plugins.join("")}`,
		);
		return containerd.started();
	}

	protected spawn(): Daemon {
		const logFile = path.join(this.home, "containerd.log");
		return new Daemon("/usr/bin/containerd", ["--config", path.join(this.home, "config.toml")], { logFile });
	}

	protected answers(): boolean {
		return existsSync(this.address) && this.#tried("version").code === 0;
	}

	/** Runs ctr and gives its standard output. */
	async ctr(...args: string[]): Promise<string> {
		return (await runAsync(CTR, ["-a", this.address, ...args])).stdout;
	}

	/** The same, for calls that may fail. */
	tryCtr(...args: string[]): Promise<Output> {
		return runAsync(CTR, ["-a", this.address, ...args], { mayFail: true });
	}

	#tried(...args: string[]): Output {
		return run(CTR, ["-a", this.address, ...args], { mayFail: true, timeoutMs: 20_000 });
	}

	override async [Symbol.asyncDispose](): Promise<void> {
		if (this.running) {
			for (const id of this.#tried("tasks", "ls", "-q").stdout.split("\n").filter(Boolean))
				this.#tried("tasks", "rm", "-f", id);
		}
		await super[Symbol.asyncDispose]();
	}
}
