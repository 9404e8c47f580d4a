/**
 * `hosts.toml` in containerd's form: the tables `[host."https://mirror"]` are asked in the file's order, then `server`, which
 * the keys above the first table belong to. Keys that are not known are passed over, as in containerd: the file is for
 * programs of several versions. Source: containerd docs/hosts.md and core/remotes/docker/config/hosts.go.
 */
import fs from "node:fs";
import path from "node:path";
import { parse, TomlError } from "smol-toml";
import * as v from "valibot";
import { LamellaError } from "../../errors/index.ts";
import { type HostConfig, PLAIN_HOST } from "./host-config.ts";
import { hostOfRegistry } from "./registry-address.ts";
import type { PemFile } from "./trust.ts";

const text = v.string("has to be a string");
const texts = v.union([text, v.array(text)], "has to be a string or a list of strings");
const flag = v.boolean("has to be true or false");

const hostEntries = {
	capabilities: v.optional(
		v.array(
			v.picklist(
				["pull", "resolve", "push", "referrers"],
				'has to be "pull", "resolve", "push" or "referrers"',
			),
			"has to be a list",
		),
	),
	ca: v.optional(texts),
	client: v.optional(
		v.union(
			[text, v.array(v.union([text, v.strictTuple([text]), v.strictTuple([text, text])]))],
			'has to be a file, or a list of files or of pairs ["certificate", "key"]',
		),
	),
	skip_verify: v.optional(flag),
	header: v.optional(v.record(v.string(), texts, "has to be a table")),
	override_path: v.optional(flag),
};
const hostSchema = v.object(hostEntries, "has to be a table");
const fileSchema = v.object({
	...hostEntries,
	server: v.optional(text),
	host: v.optional(v.record(v.string(), hostSchema, "has to be a table")),
});

type HostTable = v.InferOutput<typeof hostSchema>;

/** @throws {LamellaError} `ECONFIG` naming the file and the line or the key */
export function readHostsToml(file: string, content: string): readonly HostConfig[] {
	const result = v.safeParse(fileSchema, parseToml(file, content));
	if (!result.success) {
		const problems = result.issues.map((issue) => `"${v.getDotPath(issue) ?? ""}" ${issue.message}`);
		throw wrong(file, problems.join("; "));
	}
	const { server, host = {}, ...own } = result.output;
	const reader = new HostReader(file);
	return [
		...Object.entries(host).map(([address, table]) => reader.host(address, table, `host."${address}"`)),
		reader.host(server || undefined, own, "server"),
	];
}

function parseToml(file: string, content: string): unknown {
	try {
		return parse(content);
	} catch (error) {
		if (!(error instanceof TomlError)) throw error;
		const [reason = ""] = error.message.split("\n");
		throw wrong(file, `line ${error.line}, column ${error.column}: ${reason}`, error);
	}
}

class HostReader {
	readonly #file: string;

	constructor(file: string) {
		this.#file = file;
	}

	/** `key` is what the messages call it. */
	host(address: string | undefined, table: HostTable, key: string): HostConfig {
		const { capabilities } = table;
		const can = (what: "pull" | "resolve" | "push"): boolean => capabilities?.includes(what) ?? true;
		return {
			...(address === undefined
				? { origin: undefined, path: PLAIN_HOST.path }
				: this.#address(address, table.override_path ?? false, key)),
			can: { pull: can("pull"), resolve: can("resolve"), push: can("push") },
			headers: Object.fromEntries(
				Object.entries(table.header ?? {}).map(([name, value]) => [name, listOf(value).join(", ")]),
			),
			tls: {
				authorities: listOf(table.ca ?? []).map((place) => this.#pemFile(place, `${key}: ca`)),
				clients: clientsOf(table.client).map(([certificate, keyFile = certificate]) => ({
					certificate: this.#pemFile(certificate, `${key}: client`),
					key: this.#pemFile(keyFile, `${key}: client`),
				})),
				skipVerify: table.skip_verify ?? false,
			},
		};
	}

	#address(address: string, isPathWhole: boolean, key: string): Pick<HostConfig, "origin" | "path"> {
		const url = URL.parse(address.includes("://") ? address : `https://${address}`);
		if (url === null || !["http:", "https:"].includes(url.protocol) || url.hostname === "") {
			throw wrong(
				this.#file,
				`"${key}" is not the address of a host; write it like https://mirror.example:5000`,
			);
		}
		const path = url.pathname.replace(/\/+$/, "");
		const isWhole = isPathWhole || path.endsWith("/v2");
		return {
			origin: new URL(`${url.protocol}//${hostOfRegistry(url.host)}`).origin,
			path: isWhole ? path : `${path}/v2`,
		};
	}

	/** A path in the file is relative to the file. */
	#pemFile(place: string, key: string): PemFile {
		const whole = path.resolve(path.dirname(this.#file), place);
		try {
			return { path: whole, bytes: fs.readFileSync(whole) };
		} catch (error) {
			throw wrong(this.#file, `${key}: cannot read ${whole}: ${(error as Error).message}`, error);
		}
	}
}

function listOf(value: string | readonly string[]): readonly string[] {
	return typeof value === "string" ? [value] : value;
}

/** A file alone has both certificate and key. */
function clientsOf(value: HostTable["client"]): readonly (readonly [string] | readonly [string, string])[] {
	if (value === undefined) return [];
	if (typeof value === "string") return [[value]];
	return value.map((each) => (typeof each === "string" ? [each] : each));
}

function wrong(file: string, problem: string, cause?: unknown): LamellaError {
	return new LamellaError("ECONFIG", `${file}: ${problem}`, { path: file, cause });
}
