/** A registry in memory, for tests of uploads: it keeps what it is sent, and a test may answer in its place. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface SeenRequest {
	readonly method: string;
	readonly path: string;
	readonly headers: http.IncomingHttpHeaders;
}

/** Answers in the registry's place where it gives true. */
type Intercept = (request: http.IncomingMessage, response: http.ServerResponse) => boolean | Promise<boolean>;

export class MemoryRegistry implements AsyncDisposable {
	readonly blobs: Map<string, Buffer> = new Map();
	readonly manifests: Map<string, Buffer> = new Map();
	readonly seen: SeenRequest[] = [];
	readonly uploads: Map<string, Buffer> = new Map();
	intercept: Intercept = () => false;
	/** The host of upload locations, where it is another. */
	uploadOrigin = "";
	readonly #server = http.createServer((request, response) => void this.#answer(request, response));
	#next = 1;

	static async start(): Promise<MemoryRegistry> {
		const registry = new MemoryRegistry();
		registry.#server.listen(0, "127.0.0.1");
		await once(registry.#server, "listening");
		return registry;
	}

	get host(): string {
		return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
	}

	/** `METHOD path` of each request, without what is of no interest. */
	get asked(): readonly string[] {
		return this.seen.map(({ method, path }) => `${method} ${path.replace(/\?.*/, "")}`);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#server.closeAllConnections();
		await new Promise((resolve) => this.#server.close(resolve));
	}

	async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
		const { method = "", url = "" } = request;
		this.seen.push({ method, path: url, headers: request.headers });
		request.on("error", () => {});
		if (await this.intercept(request, response)) return;
		const { pathname, searchParams } = new URL(url, "http://host");
		const [, , repository, kind, ...rest] = pathname.split("/");
		const name = rest.at(-1) ?? "";
		if (kind === "blobs" && rest[0] === "uploads") {
			await this.#upload(request, response, `/v2/${repository}`, name, searchParams);
		} else if (kind === "blobs") {
			response.writeHead(this.blobs.has(name) ? 200 : 404).end();
		} else if (kind === "manifests" && method === "PUT") {
			const bytes = await bodyOf(request);
			this.manifests.set(name, bytes);
			response.writeHead(201, { "docker-content-digest": digestOf(bytes) }).end();
		} else {
			response.writeHead(404).end();
		}
	}

	async #upload(
		request: http.IncomingMessage,
		response: http.ServerResponse,
		repository: string,
		id: string,
		query: URLSearchParams,
	): Promise<void> {
		const at = (upload: string): string => `${this.uploadOrigin}${repository}/blobs/uploads/${upload}`;
		if (request.method === "POST") {
			if (query.has("mount") && this.blobs.has(query.get("mount") ?? "")) {
				response.writeHead(201).end();
				return;
			}
			const begun = String(this.#next++);
			this.uploads.set(begun, Buffer.alloc(0));
			response.writeHead(202, { location: at(begun) }).end();
			return;
		}
		if (!this.uploads.has(id)) {
			response.writeHead(404).end();
			return;
		}
		const range = (): Record<string, string> => ({
			location: at(id),
			range: `0-${Math.max(0, (this.uploads.get(id)?.length ?? 0) - 1)}`,
		});
		if (request.method === "GET") {
			response.writeHead(204, range()).end();
			return;
		}
		const start = request.headers["content-range"]?.split("-")[0];
		const before = this.uploads.get(id) ?? Buffer.alloc(0);
		if (start !== undefined && Number(start) !== before.length) {
			response.writeHead(416, range()).end();
			return;
		}
		// What arrives is kept, also where the connection breaks.
		const keep = (chunk: Buffer): void => {
			this.uploads.set(id, Buffer.concat([this.uploads.get(id) ?? Buffer.alloc(0), chunk]));
		};
		try {
			for await (const chunk of request) keep(chunk as Buffer);
		} catch {
			return;
		}
		if (request.method === "PATCH") {
			response.writeHead(202, range()).end();
			return;
		}
		const bytes = this.uploads.get(id) ?? Buffer.alloc(0);
		this.uploads.delete(id);
		const digest = query.get("digest") ?? "";
		if (digestOf(bytes) === digest) this.blobs.set(digest, bytes);
		response.writeHead(digestOf(bytes) === digest ? 201 : 400).end();
	}
}

export async function bodyOf(request: http.IncomingMessage): Promise<Buffer> {
	const chunks: Buffer[] = [];
	for await (const chunk of request) chunks.push(chunk as Buffer);
	return Buffer.concat(chunks);
}

export function digestOf(bytes: Buffer): string {
	return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
