/**
 * A registry in memory, on a port of this machine, for tests: it has what it is given, remembers what it was asked, and does wrong
 * what a test tells it to.
 */
import { createHash } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { Agent } from "undici";
import { RegistryClient, type RegistryClientOptions } from "../client/registry-client.ts";
import type { RegistryHost } from "../hosts/registry-host.ts";

export interface Exchange {
	readonly request: http.IncomingMessage;
	readonly response: http.ServerResponse;
	/** `GET /v2/…`, without the query. */
	readonly line: string;
}

/** Whether it has answered, in place of the registry. */
export type Script = (exchange: Exchange) => boolean;

export class ScriptedRegistry implements AsyncDisposable {
	readonly origin: string;
	/** `127.0.0.1:port`. */
	readonly host: string;
	/** What was asked, in order: method, path and query. */
	readonly requests: string[] = [];
	/** The headers of what was asked. */
	readonly headers: http.IncomingHttpHeaders[] = [];
	readonly #server: http.Server;
	readonly #blobs = new Map<string, Buffer>();
	readonly #manifests = new Map<string, { bytes: Buffer; mediaType: string }>();
	/** Asked first. */
	script: Script = () => false;

	private constructor(server: http.Server) {
		this.#server = server;
		this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
		this.origin = `http://${this.host}`;
		server.on("request", (request, response) => this.#answer(request, response));
	}

	static async open(): Promise<ScriptedRegistry> {
		const server = http.createServer();
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		return new ScriptedRegistry(server);
	}

	/** @returns its descriptor */
	addBlob(
		bytes: Buffer,
		mediaType = "application/octet-stream",
	): { mediaType: string; digest: string; size: number } {
		const digest = digestOf(bytes);
		this.#blobs.set(digest, bytes);
		return { mediaType, digest, size: bytes.length };
	}

	/** `name` is `repository:tag`. @returns its descriptor */
	addManifest(
		name: string,
		document: object,
		mediaType: string,
	): { mediaType: string; digest: string; size: number } {
		const bytes = Buffer.from(JSON.stringify(document));
		const digest = digestOf(bytes);
		const colon = name.lastIndexOf(":");
		const repository = name.slice(0, colon);
		for (const key of [name, `${repository}@${digest}`]) this.#manifests.set(key, { bytes, mediaType });
		return { mediaType, digest, size: bytes.length };
	}

	/** Asks of one method and kind of path since the log was last emptied. */
	asked(pattern: RegExp): readonly string[] {
		return this.requests.filter((line) => pattern.test(line));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#server.closeAllConnections();
		await new Promise((resolve) => this.#server.close(resolve));
	}

	#answer(request: http.IncomingMessage, response: http.ServerResponse): void {
		const url = new URL(request.url ?? "/", this.origin);
		this.requests.push(`${request.method} ${request.url}`);
		this.headers.push(request.headers);
		if (this.script({ request, response, line: `${request.method} ${url.pathname}` })) return;
		const [, repository, kind, name = ""] =
			/^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname) ?? [];
		const isDigest = name.includes(":");
		const manifest =
			kind === "manifests" ? this.#manifests.get(`${repository}${isDigest ? "@" : ":"}${name}`) : undefined;
		const blob = kind === "blobs" ? this.#blobs.get(name) : undefined;
		const bytes = manifest?.bytes ?? blob;
		if (bytes === undefined) {
			const code = kind === "blobs" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN";
			sendError(response, 404, code, "not here");
			return;
		}
		response.setHeader("content-type", manifest?.mediaType ?? "application/octet-stream");
		response.setHeader("docker-content-digest", digestOf(bytes));
		const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
		const start = from === undefined ? 0 : Number(from);
		if (from !== undefined) {
			response.statusCode = 206;
			response.setHeader("content-range", `bytes ${start}-${bytes.length - 1}/${bytes.length}`);
		}
		const content = bytes.subarray(start);
		response.setHeader("content-length", content.length);
		response.end(request.method === "HEAD" ? undefined : content);
	}
}

/** An answer as the distribution spec has it. */
export function sendError(
	response: http.ServerResponse,
	status: number,
	code: string,
	message: string,
): void {
	response.writeHead(status, { "content-type": "application/json" });
	response.end(JSON.stringify({ errors: [{ code, message }] }));
}

export function digestOf(bytes: Buffer | string): string {
	return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** A client that asks these hosts in their order, the last one being the registry itself, and loses no time between attempts. */
export function clientOf(
	registries: readonly ScriptedRegistry[],
	options: Partial<RegistryClientOptions> = {},
): RegistryClient {
	const dispatcher = new Agent({ headersTimeout: 1000, bodyTimeout: 1000 });
	const hosts = registries.map(
		({ origin }, i): RegistryHost => ({
			origin,
			path: "/v2",
			can: { pull: true, resolve: true, push: true },
			dispatcher,
			headers: { "x-own": "for this host alone" },
			isMirror: i < registries.length - 1,
		}),
	);
	return new RegistryClient({
		hosts: { hostsOf: async () => hosts, close: () => dispatcher.destroy() },
		credentials: { credentialsFor: async () => undefined },
		retry: { attempts: 4, firstDelayMs: 1, longestDelayMs: 5, longestRetryAfterMs: 2000 },
		...options,
	});
}
