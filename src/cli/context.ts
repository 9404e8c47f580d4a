/** What every command is given: the global options, the store (opened when first asked for), output, the signal. */
import type { OpenStoreOptions, ProgressEvent, Store } from "../api/index.ts";
import type { StoreReader } from "../api/reading/index.ts";
import { LamellaError } from "../errors/index.ts";
import { EXIT } from "./exit-code.ts";
import { stderr, stdout } from "./output/output.ts";
import type { ProgressBoard } from "./output/progress.ts";
import { type Column, tableLines } from "./output/table.ts";
import { printableJson, withoutControls } from "./output/text.ts";

/** The options that every command takes. */
export interface GlobalOptions {
	readonly root?: string;
	readonly driver?: string;
	readonly flatten?: string;
	readonly json?: boolean;
	readonly quiet?: boolean;
	readonly trunc?: boolean;
	readonly debug?: boolean;
}

interface WorkOptions {
	readonly signal: AbortSignal;
	readonly onProgress: (event: ProgressEvent) => void;
}

export class CommandContext {
	readonly globals: GlobalOptions;
	/** Fires on the first SIGINT or SIGTERM, and when the reader of stdout goes away. */
	readonly signal: AbortSignal;
	/** What the process will exit with when the command returns. */
	exitCode: number = EXIT.ok;

	constructor(globals: GlobalOptions, signal: AbortSignal) {
		this.globals = globals;
		this.signal = signal;
	}

	get json(): boolean {
		return this.globals.json === true;
	}

	/** Whether ids are shown whole. */
	get whole(): boolean {
		return this.globals.trunc === false;
	}

	/**
	 * Opens the store; use it as `await using store = await context.openStore()`. `looking`: nothing is made or swept, and
	 * where there is no store it is as an empty one; lists take `openReader`. `checking`: as `looking`, at a store that
	 * has to be there. `making`: one is made where there is none.
	 * @throws {LamellaError} `EPERMISSION` without root, `ECONFIG` for an empty root, an unknown driver or policy,
	 * `ENOTFOUND` without a store
	 */
	async openStore(purpose?: "looking" | "checking" | "making"): Promise<Store> {
		const options = this.#openOptions();
		const { openStore } = await import("../api/index.ts");
		const store = await openStore({
			...options,
			readOnly: purpose === "looking" || purpose === "checking",
			mustExist: purpose === undefined || purpose === "checking",
		});
		this.warn(store.notices.map((text) => ({ text })));
		return store;
	}

	/**
	 * Opens what the records say, for lists: as `looking`, without all that only operations load. Use it as
	 * `using reader = await context.openReader()`.
	 * @throws {LamellaError} `EPERMISSION` without root, `ECONFIG` for an empty root, an unknown driver or policy
	 */
	async openReader(): Promise<StoreReader> {
		const options = this.#openOptions();
		const { openReader } = await import("../api/reading/index.ts");
		return openReader(options);
	}

	/** From now on signals are for the command that `run` runs; Lamella ignores them. */
	leaveSignalsToTheCommand(): void {
		for (const name of ["SIGHUP", "SIGINT", "SIGTERM"]) {
			process.removeAllListeners(name);
			process.on(name, () => undefined);
		}
	}

	/** Writes lines to stdout. */
	print(...lines: readonly string[]): void {
		if (lines.length > 0) stdout.write(`${lines.join("\n")}\n`);
	}

	/** The one JSON document of a command that was called with `--json`. */
	printJson(value: unknown): void {
		this.print(printableJson(value));
	}

	printTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): void {
		this.print(...tableLines(columns, rows));
	}

	/** Says something on stderr that is not a result: left out with `--quiet`. */
	note(text: string): void {
		if (this.globals.quiet !== true) stderr.write(`${withoutControls(text)}\n`);
	}

	/** Says on stderr what the person should know although it went well: `--quiet` does not keep it back. */
	warn(warnings: readonly { readonly text: string }[]): void {
		for (const { text } of warnings) stderr.write(`lamella: warning: ${withoutControls(text)}\n`);
	}

	/** What every opening is given, and the checks that come before it. */
	#openOptions(): Pick<OpenStoreOptions, "root" | "driver" | "flatten" | "signal"> {
		const driver = oneOf("--driver", this.globals.driver, ["packed", "overlay", "vfs"] as const);
		const flatten = oneOf("--flatten", this.globals.flatten, ["always", "auto", "never"] as const);
		if (process.geteuid?.() !== 0) {
			throw new LamellaError(
				"EPERMISSION",
				"this needs root, because it mounts filesystems and gives files their owners; run it with sudo",
			);
		}
		return { root: this.globals.root, driver, flatten, signal: this.signal };
	}

	/** Where progress is shown, unless it was not asked for. Dispose it before anything else is printed. */
	async progressBoard(): Promise<ProgressBoard> {
		const { ProgressBoard } = await import("./output/progress.ts");
		return new ProgressBoard(stderr.stream, this.globals.quiet === true || this.json);
	}

	/** Does work of the library's that takes time: it can be stopped, and shows how far it is. */
	async withProgress<T>(work: (options: WorkOptions) => Promise<T>): Promise<T> {
		const { showProgress } = await import("./layer-progress.ts");
		using board = await this.progressBoard();
		return await work({ signal: this.signal, onProgress: showProgress(board) });
	}
}

function oneOf<T extends string>(
	option: string,
	value: string | undefined,
	allowed: readonly T[],
): T | undefined {
	if (value === undefined || value === "") return undefined;
	const found = allowed.find((choice) => choice === value);
	if (found === undefined) {
		throw new LamellaError("ECONFIG", `${option} ${value} is not known; it is one of ${allowed.join(", ")}`);
	}
	return found;
}
