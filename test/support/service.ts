/** A daemon with a home directory, that can be ended and started again on the same data. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { unmountBelow } from "./filesystems.ts";
import type { Daemon } from "./processes.ts";

export abstract class Service implements AsyncDisposable {
	readonly home: string;
	readonly #ownsHome: boolean;
	#daemon: Daemon | undefined;

	/** Without a `home` it gets a temporary one. */
	constructor(home?: string) {
		this.#ownsHome = home === undefined;
		this.home = home ?? mkdtempSync(path.join(tmpdir(), "lamella-service-"));
		mkdirSync(this.home, { recursive: true });
	}

	protected abstract spawn(): Daemon;
	protected abstract answers(): boolean | Promise<boolean>;

	get pid(): number {
		return this.#daemon?.pid ?? Number.NaN;
	}

	get running(): boolean {
		return this.#daemon?.running ?? false;
	}

	log(): string {
		return this.#daemon?.log() ?? "";
	}

	/** Starts it; nothing stays where it does not come up. */
	protected async started(): Promise<this> {
		try {
			await this.restart();
			return this;
		} catch (error) {
			await this[Symbol.asyncDispose]();
			throw error;
		}
	}

	async stop(signal?: NodeJS.Signals): Promise<void> {
		await this.#daemon?.stop(signal);
	}

	/** Ends the daemon by that signal and starts it again on the same data. */
	async restart(signal?: NodeJS.Signals): Promise<void> {
		await this.stop(signal);
		this.#daemon = this.spawn();
		await this.#daemon.until(() => this.answers());
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop();
		unmountBelow(this.home);
		if (this.#ownsHome) rmSync(this.home, { recursive: true, force: true });
	}
}
