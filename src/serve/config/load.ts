/** The configuration of `lamella serve`: a file, cut down to one protocol where one is named, and the command line. */
import { readFileSync } from "node:fs";
import { parse, TomlError, type TomlTable } from "smol-toml";
import * as v from "valibot";
import { LamellaError } from "../../errors/index.ts";
import { configSchema, type ServeConfig } from "./schema.ts";

/** Read by `lamella serve` when neither another file nor a protocol is named. */
export const DEFAULT_CONFIG_FILE = "/etc/lamella/config.toml";

export type Protocol = "containerd" | "docker";

/** What the command line says; it goes before the file. */
export interface ConfigRequest {
	readonly file?: string | undefined;
	/** Serve this one alone. */
	readonly protocol?: Protocol | undefined;
	/** For `protocol`. */
	readonly socket?: string | undefined;
	/** For `docker`. */
	readonly stateDirectory?: string | undefined;
	readonly root?: string | undefined;
	readonly driver?: string | undefined;
	readonly flatten?: string | undefined;
	readonly logLevel?: string | undefined;
}

/** @throws {LamellaError} `ENOTFOUND` (no such file), `ECONFIG` (with the line, or the key and what it has to be) */
export function resolveConfig(request: ConfigRequest): ServeConfig {
	const { protocol, socket, stateDirectory } = request;
	const file = request.file ?? (protocol === undefined ? DEFAULT_CONFIG_FILE : undefined);
	const table = file === undefined ? {} : readTable(file);
	if (protocol === undefined && (socket ?? stateDirectory) !== undefined) {
		throw new LamellaError("ECONFIG", "--socket and --state-dir need a protocol: docker or containerd");
	}
	if (protocol !== undefined) {
		const own = table[protocol] ?? (protocol === "docker" ? { "own-store": true } : {});
		delete table.containerd;
		delete table.docker;
		table[protocol] = isTable(own) ? { ...own, ...given({ socket, "state-dir": stateDirectory }) } : own;
	}
	const { root, driver, flatten, logLevel } = request;
	Object.assign(table, given({ root, driver, flatten, "log-level": logLevel }));
	return checked(table, file ?? "the command line");
}

/** For what comes from elsewhere than a file; `source` is for the messages. @throws {LamellaError} `ECONFIG` */
export function parseConfig(text: string, source: string): ServeConfig {
	return checked(parseTable(text, source), source);
}

function readTable(file: string): TomlTable {
	let text: string;
	try {
		text = readFileSync(file, "utf8");
	} catch (error) {
		const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
		throw new LamellaError(
			missing ? "ENOTFOUND" : "ECONFIG",
			missing
				? `there is no configuration file ${file}; write one, or say "lamella serve containerd" or "docker"`
				: `cannot read ${file}: ${(error as Error).message}`,
			{ path: file, cause: error },
		);
	}
	return parseTable(text, file);
}

function parseTable(text: string, source: string): TomlTable {
	try {
		return parse(text);
	} catch (error) {
		if (!(error instanceof TomlError)) throw error;
		const [reason = ""] = error.message.split("\n");
		throw wrong(source, `line ${error.line}, column ${error.column}: ${reason}`, error);
	}
}

function checked(table: TomlTable, source: string): ServeConfig {
	const result = v.safeParse(configSchema, table);
	if (result.success) return result.output;
	throw wrong(source, result.issues.map(problemOf).join("; "));
}

function wrong(source: string, problem: string, cause?: unknown): LamellaError {
	return new LamellaError("ECONFIG", `${source}: ${problem}`, { path: source, cause });
}

function problemOf(issue: v.BaseIssue<unknown>): string {
	const name = v.getDotPath(issue) ?? "";
	if (issue.type === "strict_object" && issue.expected === "never") return `the key "${name}" is not known`;
	if (issue.type === "strict_object") return `"${name}" has to be a table, [${name}]`;
	return `"${name}" ${issue.message}`;
}

function isTable(value: unknown): value is TomlTable {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function given(options: Readonly<Record<string, string | undefined>>): Record<string, string> {
	return Object.fromEntries(
		Object.entries(options).filter((entry): entry is [string, string] => entry[1] !== undefined),
	);
}
