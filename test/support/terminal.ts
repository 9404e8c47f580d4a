/** A terminal with a shell line on it, as a person has one: the test types, resizes, and waits for what it shows. */
import { setTimeout as sleep } from "node:timers/promises";
import * as linux from "../../src/linux/index.ts";

const TIMEOUT_MS = 60_000;

export class Terminal implements Disposable {
	readonly #master: number;
	readonly #pid: number;
	readonly #buffer = Buffer.alloc(64 * 1024);
	/** All that it has shown. */
	output = "";

	constructor(line: string, env: Readonly<Record<string, string>>) {
		const { master, slave } = linux.openPseudoTerminal();
		this.#master = master;
		this.resize(30, 100);
		this.#pid = linux.spawnProgram({
			...{ file: "/bin/bash", argv: ["bash", "-c", line], cwd: "/", uid: 0, gid: 0 },
			...{ env, fds: [slave, slave, slave], terminal: true },
		});
		linux.close(slave);
	}

	resize(rows: number, columns: number): void {
		const size = Buffer.alloc(128);
		size.writeUInt16LE(rows, 0);
		size.writeUInt16LE(columns, 2);
		linux.setWindowSize(this.#master, size);
	}

	type(text: string): void {
		linux.write(this.#master, Buffer.from(text));
	}

	/** Waits until it shows something; gives what it showed up to there, which is then forgotten. */
	async until(shown: string): Promise<string> {
		const deadlineMs = performance.now() + TIMEOUT_MS;
		for (let isOpen = true; !this.output.includes(shown); isOpen = this.#read()) {
			const problem = isOpen ? "the terminal never showed" : "the terminal's line ended and never showed";
			if (!isOpen || performance.now() > deadlineMs) throw new Error(`${problem} ${shown}:\n${this.output}`);
			await sleep(10);
		}
		const end = this.output.indexOf(shown) + shown.length;
		const seen = this.output.slice(0, end);
		this.output = this.output.slice(end);
		return seen;
	}

	/** Waits for the end of the line; gives its exit code. */
	async end(): Promise<number> {
		while (this.#read()) await sleep(10);
		return linux.waitForEnd(this.#pid);
	}

	/** Closes it: who runs there gets SIGHUP. */
	[Symbol.dispose](): void {
		linux.close(this.#master);
	}

	/** False once nobody has it open any more. */
	#read(): boolean {
		try {
			for (;;) this.output += this.#buffer.toString("utf8", 0, linux.read(this.#master, this.#buffer));
		} catch (error) {
			if (linux.isSystemError(error, "EAGAIN")) return true;
			if (linux.isSystemError(error, "EIO")) return false;
			throw error;
		}
	}
}
