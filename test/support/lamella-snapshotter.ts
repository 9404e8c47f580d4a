/** `lamella serve containerd` as a daemon, and a containerd that uses it. */
import net from "node:net";
import path from "node:path";
import { Containerd } from "./containerd.ts";
import { CLI } from "./lamella.ts";
import { Daemon } from "./processes.ts";
import { Service } from "./service.ts";

export class LamellaSnapshotter extends Service {
	readonly socket: string = path.join(this.home, "lamella.sock");
	readonly root: string = path.join(this.home, "store");
	readonly #options: readonly string[];
	readonly #env: NodeJS.ProcessEnv;

	private constructor(home: string, options: readonly string[], env: NodeJS.ProcessEnv) {
		super(home);
		this.#options = options;
		this.#env = env;
	}

	/** `home` gets the store, the socket and the log. `options` are more words for the command line. */
	static async start(
		home: string,
		options: readonly string[] = [],
		env: NodeJS.ProcessEnv = {},
	): Promise<LamellaSnapshotter> {
		return new LamellaSnapshotter(home, options, env).started();
	}

	protected spawn(): Daemon {
		const words = ["--root", this.root, "serve", "containerd", "--socket", this.socket, ...this.#options];
		const logFile = path.join(this.home, "lamella.log");
		return new Daemon(process.execPath, [CLI, ...words], { logFile, env: { ...process.env, ...this.#env } });
	}

	protected answers(): Promise<boolean> {
		return new Promise((resolve) => {
			const probe = net.connect(this.socket, () => {
				probe.destroy();
				resolve(true);
			});
			probe.once("error", () => resolve(false));
		});
	}
}

/** A containerd in `home` with the snapshotter `lamella` beside its own. */
export function startContainerd(home: string, { socket }: LamellaSnapshotter): Promise<Containerd> {
	return Containerd.start(home, { lamella: socket });
}
