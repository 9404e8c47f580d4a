/**
 * The caller's terminal while the command runs on another one. It is raw, so that every key (Ctrl-C, Ctrl-Z, Ctrl-D too) reaches
 * the command's terminal, which then does what a terminal does. The caller's settings come back however this process ends, but
 * for SIGKILL.
 */
import { isatty } from "node:tty";
import * as linux from "../linux/index.ts";

export class CallerTerminal implements Disposable {
	/** Whether the command gets a terminal. */
	readonly isThere: boolean = isatty(0) && isatty(1) && linux.isInForeground(0);
	readonly #before: Uint8Array | undefined;
	#master: number | undefined;

	constructor() {
		if (!this.isThere) return;
		this.#before = linux.terminalMode(0);
		process.on("exit", this.#restore);
		process.on("SIGCONT", this.#takeOver);
		process.on("SIGWINCH", this.#resize);
		this.#takeOver();
	}

	/** From now on its size is also that of the command's terminal. */
	follow(master: number | undefined): void {
		this.#master = master;
		this.#resize();
	}

	[Symbol.dispose](): void {
		this.#restore();
		process.off("exit", this.#restore);
		process.off("SIGCONT", this.#takeOver);
		process.off("SIGWINCH", this.#resize);
	}

	/** Also after a stop: the shell has had the terminal in between. */
	readonly #takeOver = (): void => {
		const before = this.#before;
		if (before !== undefined) whereItIs(() => linux.setTerminalMode(0, linux.rawMode(before)));
		this.#resize();
	};

	readonly #restore = (): void => {
		const before = this.#before;
		if (before !== undefined) whereItIs(() => linux.setTerminalMode(0, before));
	};

	readonly #resize = (): void => {
		const master = this.#master;
		if (master !== undefined) whereItIs(() => linux.setWindowSize(master, linux.windowSize(1)));
	};
}

/** A terminal that was closed has no mode and no size any more. */
function whereItIs(work: () => void): void {
	try {
		work();
	} catch (error) {
		if (!linux.isSystemError(error, "EIO", "ENOTTY")) throw error;
	}
}
