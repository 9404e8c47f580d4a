/**
 * What an image's config says of running it: command, environment, working directory, user. The config is anybody's JSON:
 * what has not the right shape counts as not said. Source: OCI image spec, config.md, "config".
 */

export interface ImageRuntime {
	/** Entrypoint and Cmd together; empty where it says nothing. */
	readonly command: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly workingDirectory: string;
	readonly user: string;
}

export function readRuntime(document: unknown): ImageRuntime {
	const config = field(document, "config");
	const text = (key: string): string => {
		const value = field(config, key);
		return typeof value === "string" && !value.includes("\0") ? value : "";
	};
	const pairs = texts(field(config, "Env")).map((line) => {
		const equals = line.indexOf("=");
		return equals <= 0 ? undefined : ([line.slice(0, equals), line.slice(equals + 1)] as const);
	});
	return {
		command: [...texts(field(config, "Entrypoint")), ...texts(field(config, "Cmd"))],
		env: Object.fromEntries(pairs.filter((pair) => pair !== undefined)),
		workingDirectory: text("WorkingDir") || "/",
		user: text("User"),
	};
}

function field(value: unknown, key: string): unknown {
	return typeof value === "object" && value !== null && Object.hasOwn(value, key)
		? (value as Record<string, unknown>)[key]
		: undefined;
}

function texts(value: unknown): string[] {
	return Array.isArray(value)
		? value.filter((item): item is string => typeof item === "string" && !item.includes("\0"))
		: [];
}
