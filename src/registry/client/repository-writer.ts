/**
 * Writes to one repository at one host: blobs by uploads that go on where they stopped, mounts of blobs from other repositories,
 * manifests. Source: OCI distribution spec 1.1, "Push".
 */
import { createHash } from "node:crypto";
import type { RegistryHost } from "../hosts/registry-host.ts";
import type { RegistryReference } from "../reference/reference.ts";
import { discardBody, type HttpAnswer, header } from "./exchange.ts";
import { type Asked, RegistryError, wrongAnswer } from "./failure.ts";
import type { RegistryClient, RegistryRequest } from "./registry-client.ts";
import { type RetryPolicy, retrying } from "./retry.ts";
import { type BlobSource, BlobUpload, type UploadLimits } from "./upload.ts";

export interface RepositoryWriterOptions {
	readonly client: Pick<RegistryClient, "send" | "failed">;
	readonly host: RegistryHost;
	readonly reference: Pick<RegistryReference, "registry" | "repository">;
	readonly retry: RetryPolicy;
	/** All but what it is about. */
	readonly asked: Omit<Asked, "what">;
}

export interface UploadOptions {
	readonly signal?: AbortSignal | undefined;
	/** Bytes that the registry was sent; it may go back where the registry lost some. */
	readonly onProgress?: ((doneBytes: number) => void) | undefined;
}

export class RepositoryWriter {
	readonly #options: RepositoryWriterOptions;
	/** What the host was found to take, for all uploads. */
	readonly #limits: UploadLimits = { chunkBytes: Number.POSITIVE_INFINITY, takesChunks: true };
	/** Uploads that a host began in place of a mount, by digest. */
	readonly #begun = new Map<string, URL>();

	constructor(options: RepositoryWriterOptions) {
		this.#options = options;
	}

	/** Whether the repository has a blob. @throws {RegistryError} */
	async hasBlob(digest: string, { signal }: UploadOptions = {}): Promise<boolean> {
		const asked = { ...this.#asked(`blob ${digest}`, signal), isPush: false };
		return await retrying(this.#options.retry, signal, async () => {
			const answer = await this.#send({ method: "HEAD", path: `blobs/${digest}` }, asked);
			// Some answer otherwise to what they do not have; the upload will say whether something is wrong.
			const isKnown = answer.status === 200;
			const isRefused = [401, 403, 408, 429].includes(answer.status) || answer.status >= 500;
			if (isRefused) throw await this.#options.client.failed(answer, asked);
			await discardBody(answer);
			return isKnown;
		});
	}

	/** Takes a blob over from another repository of the registry, where that has it and may be read. @throws {RegistryError} */
	async mountBlob(digest: string, from: string, { signal }: UploadOptions = {}): Promise<boolean> {
		const { client, reference, retry } = this.#options;
		const asked = this.#asked(`a mount of blob ${digest} from ${from}`, signal);
		return await retrying(retry, signal, async () => {
			const query = new URLSearchParams({ mount: digest, from });
			const scopes = [`repository:${from}:pull`, pushScope(reference.repository)];
			const answer = await this.#send({ method: "POST", path: `blobs/uploads/?${query}`, scopes }, asked);
			if (answer.status === 429 || answer.status >= 500) throw await client.failed(answer, asked);
			await discardBody(answer);
			// Without the blob it begins an upload. Who may not read there, or knows no mounts, gets the blob all the same.
			if (answer.status === 202) this.#begun.set(digest, this.#locationOf(answer, asked));
			return answer.status === 201;
		});
	}

	/** @throws {RegistryError} `EUNAUTHORIZED`, `EDENIED`, `ERATELIMIT`, `EREGISTRY`, `ENETWORK`; {LamellaError} `EABORTED` */
	async uploadBlob(blob: BlobSource, { signal, onProgress }: UploadOptions = {}): Promise<void> {
		const { client, retry } = this.#options;
		const asked = this.#asked(`the upload of blob ${blob.digest}`, signal);
		const begun = this.#begun.get(blob.digest);
		this.#begun.delete(blob.digest);
		const upload = new BlobUpload(blob, {
			...{ retry, asked, onProgress, begun, limits: this.#limits },
			send: (request) => this.#send(request, asked),
			failed: (answer) => client.failed(answer, asked),
			locationOf: (answer) => this.#locationOf(answer, asked),
		});
		await upload.run();
	}

	/** Puts a manifest under a tag or its digest. @returns its digest. @throws {RegistryError} */
	async putManifest(
		tagOrDigest: string,
		bytes: Buffer,
		mediaType: string,
		{ signal }: UploadOptions = {},
	): Promise<string> {
		const asked = this.#asked(`the upload of manifest ${tagOrDigest}`, signal);
		const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
		await retrying(this.#options.retry, signal, async () => {
			const headers = { "content-type": mediaType };
			const path = `manifests/${tagOrDigest}`;
			const answer = await this.#send({ method: "PUT", path, headers, body: () => bytes }, asked);
			if (answer.status < 200 || answer.status > 299) throw await this.#options.client.failed(answer, asked);
			const said = header(answer, "docker-content-digest");
			await discardBody(answer);
			if (said?.startsWith("sha256:") && said !== digest)
				throw wrongAnswer(
					answer.host,
					asked,
					`it says that the manifest has the digest ${said}, not ${digest}`,
				);
		});
		return digest;
	}

	#send(request: RegistryRequest, asked: Asked): Promise<HttpAnswer> {
		const { client, host, reference } = this.#options;
		return client.send(host, reference, { scopes: [pushScope(reference.repository)], ...request }, asked);
	}

	#locationOf(answer: HttpAnswer, asked: Asked): URL {
		const location = header(answer, "location");
		const url = location === undefined ? null : URL.parse(location, answer.url.href);
		if (url === null || !/^https?:$/.test(url.protocol))
			throw wrongAnswer(answer.host, asked, "it does not say where the upload goes on (Location)");
		// A registry behind a proxy that ends TLS may not know of it.
		if (answer.url.protocol === "https:") url.protocol = "https:";
		return url;
	}

	#asked(what: string, signal: AbortSignal | undefined): Asked {
		return { ...this.#options.asked, what, isPush: true, signal: signal ?? this.#options.asked.signal };
	}
}

function pushScope(repository: string): string {
	return `repository:${repository}:pull,push`;
}

/** The error where no host takes uploads. */
export function noPushHost(registry: string, repository: string): RegistryError {
	return new RegistryError(
		"ECONFIG",
		`${repository} cannot be pushed: hosts.toml gives ${registry} no host with the capability "push"`,
		{ host: registry },
	);
}
