/**
 * The Dockerfile instructions that `commit` takes to change an image's config, one a string: `ENV A=b`, `CMD ["sh"]`.
 * Source: Dockerfile reference, for the forms of each; OCI image spec config.md for the fields.
 */
import { LamellaError } from "../../errors/index.ts";

/** The `config` member of an image config: what a runtime is told. */
export type RuntimeConfig = Readonly<Record<string, unknown>>;

type Edit = (config: RuntimeConfig, text: string) => RuntimeConfig;

const EDITS: Readonly<Record<string, Edit>> = {
	CMD: (config, text) => ({ ...config, Cmd: command(text) }),
	// As docker does: a new entrypoint makes an older CMD meaningless.
	ENTRYPOINT: (config, text) => ({ ...omit(config, "Cmd"), Entrypoint: command(text) }),
	ENV: (config, text) => {
		const added = keyValues(text, "ENV");
		const names = new Set(added.map(([name]) => name));
		const kept = strings(config.Env).filter((entry) => !names.has(entry.split("=", 1)[0] ?? ""));
		return { ...config, Env: [...kept, ...added.map(([name, value]) => `${name}=${value}`)] };
	},
	EXPOSE: (config, text) => {
		const ports = words(text).map((word) => {
			if (!/^\d{1,5}(-\d{1,5})?(\/(tcp|udp|sctp))?$/.test(word)) {
				throw new LamellaError("EINVALID", `EXPOSE ${word}: write a port such as 80 or 53/udp`);
			}
			return word.includes("/") ? word : `${word}/tcp`;
		});
		return { ...config, ExposedPorts: set(config.ExposedPorts, ports) };
	},
	LABEL: (config, text) => ({
		...config,
		Labels: { ...record(config.Labels), ...Object.fromEntries(keyValues(text, "LABEL")) },
	}),
	STOPSIGNAL: (config, text) => ({ ...config, StopSignal: text }),
	USER: (config, text) => ({ ...config, User: text }),
	VOLUME: (config, text) => ({ ...config, Volumes: set(config.Volumes, jsonArray(text) ?? words(text)) }),
	WORKDIR: (config, text) => ({ ...config, WorkingDir: join(config.WorkingDir, text) }),
};

/** Applies one instruction. @throws {LamellaError} `EINVALID` */
export function applyInstruction(config: RuntimeConfig, instruction: string): RuntimeConfig {
	const match = /^\s*([A-Za-z]+)\s+(\S[\s\S]*?)\s*$/.exec(instruction);
	const edit = match === null ? undefined : EDITS[(match[1] ?? "").toUpperCase()];
	if (match === null || edit === undefined) {
		throw new LamellaError(
			"EINVALID",
			`${JSON.stringify(instruction)} is no instruction that commit takes; it takes ${Object.keys(EDITS).join(", ")}, each with a value`,
		);
	}
	return edit(config, match[2] ?? "");
}

/** The exec form is a JSON array; everything else is run by a shell. */
function command(text: string): string[] {
	return jsonArray(text) ?? ["/bin/sh", "-c", text];
}

function jsonArray(text: string): string[] | undefined {
	if (!text.startsWith("[")) return undefined;
	try {
		const value: unknown = JSON.parse(text);
		if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
	} catch {
		// Not JSON: a shell may well be given something that begins with a bracket.
	}
	return undefined;
}

/** `a=b "c d"=e f="g h"`, or the old form `NAME the rest`. */
function keyValues(text: string, instruction: string): [string, string][] {
	const parts = words(text);
	if (parts[0]?.includes("=") !== true) {
		const [name, ...rest] = text.split(/\s+/);
		if (name === undefined || name === "" || rest.length === 0) {
			throw new LamellaError("EINVALID", `${instruction} ${text}: write it as NAME=value`);
		}
		return [[name, text.slice(name.length).trimStart()]];
	}
	return parts.map((part) => {
		const at = part.indexOf("=");
		if (at <= 0)
			throw new LamellaError("EINVALID", `${instruction} ${text}: ${JSON.stringify(part)} is not NAME=value`);
		return [part.slice(0, at), part.slice(at + 1)];
	});
}

/** Splits at blanks as a shell would: quotes group, a backslash takes the next character as it is. */
function words(text: string): string[] {
	const found: string[] = [];
	let word: string | undefined;
	let quote: string | undefined;
	for (let i = 0; i < text.length; i++) {
		const c = text[i] ?? "";
		if (quote === undefined && /\s/.test(c)) {
			if (word !== undefined) found.push(word);
			word = undefined;
		} else if (c === "\\" && quote !== "'" && i + 1 < text.length) {
			word = (word ?? "") + text[++i];
		} else if (quote === undefined && (c === '"' || c === "'")) {
			quote = c;
			word ??= "";
		} else if (c === quote) {
			quote = undefined;
		} else {
			word = (word ?? "") + c;
		}
	}
	if (quote !== undefined)
		throw new LamellaError(
			"EINVALID",
			`${JSON.stringify(text)} has a quote that is never closed; close it, or put a backslash before it`,
		);
	if (word !== undefined) found.push(word);
	return found;
}

function join(current: unknown, text: string): string {
	const base = text.startsWith("/") ? "" : typeof current === "string" ? current : "";
	const parts: string[] = [];
	for (const part of `${base}/${text}`.split("/")) {
		if (part === "..") parts.pop();
		else if (part !== "" && part !== ".") parts.push(part);
	}
	return `/${parts.join("/")}`;
}

function set(current: unknown, added: readonly string[]): Record<string, unknown> {
	return { ...record(current), ...Object.fromEntries(added.map((key) => [key, {}])) };
}

function record(value: unknown): Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value)
		? (value as Record<string, unknown>)
		: {};
}

function strings(value: unknown): string[] {
	return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}

function omit(config: RuntimeConfig, key: string): RuntimeConfig {
	return Object.fromEntries(Object.entries(config).filter(([name]) => name !== key));
}
