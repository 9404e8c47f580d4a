/**
 * The machine's own zstd program, for a Node without zstd in zlib.
 *
 * It is taken by its absolute path from directories that belong to root, never from PATH, and never from
 * anything that an image holds.
 */
import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { Duplex } from "node:stream";

const TRUSTED_DIRECTORIES = ["/usr/bin", "/bin", "/usr/local/bin"] as const;

let found: string | undefined | null = null;

/** Absolute path of the zstd program, or `undefined` where there is none that only root can change. */
export function findHostZstd(): string | undefined {
	if (found === null) {
		found = TRUSTED_DIRECTORIES.map((directory) => path.join(directory, "zstd")).find(isTrustedProgram);
	}
	return found;
}

function isTrustedProgram(file: string): boolean {
	const stat = fs.statSync(file, { throwIfNoEntry: false });
	return stat?.isFile() === true && stat.uid === 0 && (stat.mode & 0o022) === 0 && (stat.mode & 0o111) !== 0;
}

/**
 * The program's standard input and output as a stream. An error carries what the program said; `destroy` ends the program.
 */
export class HostZstd extends Duplex {
	readonly #child: ChildProcess;
	#complaint = "";
	#pending: (() => void) | undefined;

	constructor(program: string, args: readonly string[]) {
		super({ highWaterMark: 1 << 20 });
		const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { LC_ALL: "C" }, cwd: "/" });
		this.#child = child;
		// Its end is told by the exit status; a broken pipe is only how one hears of it first.
		child.stdin.on("error", () => {});
		child.stdout.on("data", (chunk: Buffer) => {
			if (!this.push(chunk)) child.stdout.pause();
		});
		child.stderr.on("data", (chunk: Buffer) => {
			if (this.#complaint.length < 1000) this.#complaint += chunk.toString("utf8");
		});
		child.on("error", (error) => this.destroy(error));
		child.on("close", (code, signal) => {
			if (code === 0) this.push(null);
			else this.destroy(new Error(`zstd: ${this.#complaint.trim() || `ended with ${signal ?? code}`}`));
			this.#settlePending();
		});
	}

	override _read(): void {
		this.#child.stdout?.resume();
	}

	override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
		// If the program ends, its exit status tells more than the failed write.
		this.#pending = done;
		this.#child.stdin?.write(chunk, () => this.#settlePending());
	}

	override _final(done: (error?: Error | null) => void): void {
		this.#child.stdin?.end();
		done();
	}

	override _destroy(error: Error | null, done: (error: Error | null) => void): void {
		if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
		this.#settlePending();
		done(error);
	}

	#settlePending(): void {
		const pending = this.#pending;
		this.#pending = undefined;
		pending?.();
	}
}
