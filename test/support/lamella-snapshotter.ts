/** `lamella serve containerd` as a daemon, and a containerd that uses it. */
import { mkdirSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { Containerd } from "./containerd.ts";
import { CLI } from "./lamella.ts";
import { Daemon } from "./processes.ts";

export class LamellaSnapshotter implements AsyncDisposable {
	readonly socket: string;
	readonly root: string;
	readonly #home: string;
	readonly #options: readonly string[];
	#daemon: Daemon;

	private constructor(home: string, options: readonly string[]) {
		this.#home = home;
		this.#options = options;
		this.socket = path.join(home, "lamella.sock");
		this.root = path.join(home, "store");
		this.#daemon = this.#spawn();
	}

	/** `home` gets the store, the socket and the log. `options` are more words for the command line. */
	static async start(home: string, options: readonly string[] = []): Promise<LamellaSnapshotter> {
		mkdirSync(home, { recursive: true });
		const snapshotter = new LamellaSnapshotter(home, options);
		try {
			await snapshotter.#ready();
		} catch (error) {
			await snapshotter[Symbol.asyncDispose]();
			throw error;
		}
		return snapshotter;
	}

	get pid(): number {
		return this.#daemon.pid;
	}

	log(): string {
		return this.#daemon.log();
	}

	/** What has to be in containerd's configuration. */
	get containerdConfig(): string {
		return `[proxy_plugins.lamella]\n  type = "snapshot"\n  address = "${this.socket}"`;
	}

	async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
		await this.#daemon.stop(signal);
	}

	async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
		await this.#daemon.stop(signal);
		this.#daemon = this.#spawn();
		await this.#ready();
	}

	#spawn(): Daemon {
		const logFile = path.join(this.#home, "lamella.log");
		return new Daemon(
			process.execPath,
			[CLI, "--root", this.root, "serve", "containerd", "--socket", this.socket, ...this.#options],
			{ logFile },
		);
	}

	#ready(): Promise<void> {
		return this.#daemon.until(() => answers(this.socket));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop();
	}
}

/** A containerd in `home` with the snapshotter `lamella` beside its own. */
export function startContainerd(home: string, snapshotter: LamellaSnapshotter): Promise<Containerd> {
	return Containerd.start({ home, config: snapshotter.containerdConfig });
}

function answers(socket: string): Promise<boolean> {
	return new Promise((resolve) => {
		const probe = net.connect(socket, () => {
			probe.destroy();
			resolve(true);
		});
		probe.once("error", () => resolve(false));
	});
}
