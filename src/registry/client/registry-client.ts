/**
 * Requests to registries, by the OCI distribution spec 1.1: manifests, blobs, tags. Each thing is asked of the registry's hosts
 * in their order, mirrors first; a host that fails is passed over, the last one is asked again where that may help.
 */
import type { CredentialSource } from "../credentials/contract.ts";
import { ACCEPTED_MANIFESTS } from "../documents/index.ts";
import type { Hosts, RegistryHost } from "../hosts/registry-host.ts";
import { familiarRepository, type RegistryReference } from "../reference/reference.ts";
import { Authorizer } from "./authorizer.ts";
import { type BlobDescriptor, BlobStream, ofAllHosts } from "./blob-stream.ts";
import { parseChallenges } from "./challenge.ts";
import {
	discardBody,
	exchange,
	type Headers,
	type HttpAnswer,
	type HttpRequest,
	header,
} from "./exchange.ts";
import {
	type Asked,
	cancelled,
	failedAnswer,
	RegistryError,
	reportedErrors,
	wrongAnswer,
} from "./failure.ts";
import { type RegistryManifest, readManifest, saidDigest } from "./manifest.ts";
import { readBody } from "./read-body.ts";
import { noPushHost, RepositoryWriter } from "./repository-writer.ts";
import { parseRetryAfter, RETRY, type RetryPolicy, retrying } from "./retry.ts";
import { nextPage, readTags } from "./tags.ts";

const MAX_ERROR_BYTES = 64 << 10;
const MAX_TAGS_BYTES = 16 << 20;
const MAX_TAG_PAGES = 1000;
/** A request, a token, and a token that was good no longer. */
const MAX_ROUNDS = 3;

export interface RegistryClientOptions {
	readonly hosts: Hosts;
	readonly credentials: CredentialSource;
	readonly retry?: Partial<RetryPolicy> | undefined;
}

type Repository = Pick<RegistryReference, "registry" | "repository">;
export type Capability = keyof RegistryHost["can"];

/** What a tag points to, by a HEAD. */
export interface ResolvedManifest {
	readonly digest: string;
	/** Where the registry answers no HEAD with a digest, the manifest was fetched. */
	readonly manifest?: RegistryManifest | undefined;
}

export interface RegistryRequest {
	readonly method: HttpRequest["method"];
	/** Behind the repository: `manifests/12`, `blobs/uploads/`; or a whole address that the host gave. */
	readonly path: string | URL;
	readonly headers?: Headers | undefined;
	/** Makes the body: it is sent again after a 401. */
	readonly body?: (() => HttpRequest["body"]) | undefined;
	readonly headersTimeoutMs?: number | undefined;
	/** In place of pulling from the repository. */
	readonly scopes?: readonly string[] | undefined;
}

export interface AskOptions {
	readonly signal?: AbortSignal | undefined;
}

export interface BlobOptions extends AskOptions {
	/** Origins of hosts that gave a wrong blob of this digest: others are asked before them. */
	readonly avoid?: ReadonlySet<string> | undefined;
}

export class RegistryClient implements AsyncDisposable {
	readonly #hosts: Hosts;
	readonly #authorizer: Authorizer;
	readonly #retry: RetryPolicy;
	/** Origins that have answered. */
	readonly #reached = new Set<string>();

	constructor({ hosts, credentials, retry }: RegistryClientOptions) {
		this.#hosts = hosts;
		this.#authorizer = new Authorizer(credentials);
		this.#retry = { ...RETRY, ...retry };
	}

	/** Closes the connections. */
	async [Symbol.asyncDispose](): Promise<void> {
		await this.#hosts.close();
	}

	/**
	 * The digest that a reference means, by one HEAD; a digest in it is taken as it is.
	 * @throws {RegistryError} as `manifest`
	 */
	async resolve(reference: RegistryReference, options: AskOptions = {}): Promise<ResolvedManifest> {
		if (reference.digest !== undefined) return { digest: reference.digest };
		const tag = reference.tag ?? "latest";
		const asked = this.#asked(reference, `manifest ${tag}`, options);
		return await this.askHosts(reference, "resolve", asked, async (host) => {
			const answer = await this.send(
				host,
				reference,
				{ ...GET_MANIFEST, method: "HEAD", path: `manifests/${tag}` },
				asked,
			);
			await discardBody(answer);
			const digest = answer.status === 200 ? saidDigest(answer, asked) : undefined;
			if (digest !== undefined) return { digest };
			// A failure has its reason in a body, and a HEAD has none.
			const manifest = await this.#manifestFrom(host, reference, tag, undefined, asked);
			return { digest: manifest.digest, manifest };
		});
	}

	/**
	 * A manifest or an index, by its digest or a tag.
	 * @throws {RegistryError} `ENOTFOUND` (no such repository or manifest), `EUNAUTHORIZED`, `EDENIED`, `ERATELIMIT`, `EREGISTRY`,
	 * `EDIGEST`, `ENETWORK`, `ENOTSUPPORTED` (schema 1); {LamellaError} `EABORTED`, `ECONFIG`
	 */
	async manifest(
		reference: Repository,
		tagOrDigest: string,
		options: AskOptions = {},
	): Promise<RegistryManifest> {
		const asked = this.#asked(reference, `manifest ${tagOrDigest}`, options);
		const expected = tagOrDigest.includes(":") ? tagOrDigest : undefined;
		return await this.askHosts(reference, expected === undefined ? "resolve" : "pull", asked, (host) =>
			this.#manifestFrom(host, reference, tagOrDigest, expected, asked),
		);
	}

	/** A blob's bytes, as they come. The stream fails as `manifest` does; its digest is to be checked by who reads it. */
	async openBlob(
		reference: Repository,
		descriptor: BlobDescriptor,
		options: BlobOptions = {},
	): Promise<BlobStream> {
		const asked = this.#asked(reference, `blob ${descriptor.digest}`, options);
		const hosts = await this.#hostsFor(reference, "pull");
		const { avoid } = options;
		const isAvoided = ({ origin }: RegistryHost): boolean => avoid?.has(origin) === true;
		return new BlobStream(descriptor, {
			hosts: [...hosts.filter((host) => !isAvoided(host)), ...hosts.filter(isAvoided)],
			retry: this.#retry,
			asked,
			ask: async (host, offset, now) => {
				const path = `blobs/${descriptor.digest}`;
				const get = (headers: Headers): Promise<HttpAnswer> =>
					this.send(host, reference, { method: "GET", path, headers }, now);
				let answer = await get(offset === 0 ? {} : { range: `bytes=${offset}-` });
				if (answer.status === 416 && offset > 0) {
					// It has the blob, and gives no parts of it.
					await discardBody(answer);
					answer = await get({});
				}
				if (answer.status === 200 || (answer.status === 206 && offset > 0)) return answer;
				const failure = await this.failed(answer, now);
				throw answer.status === 404 ? lostBlob(failure, now) : failure;
			},
		});
	}

	/** Whether the repository has a blob. @throws as `manifest` */
	async exists(reference: Repository, digest: string, options: AskOptions = {}): Promise<boolean> {
		const asked = this.#asked(reference, `blob ${digest}`, options);
		return await this.askHosts(reference, "pull", asked, async (host) => {
			const answer = await this.send(host, reference, { method: "HEAD", path: `blobs/${digest}` }, asked);
			if (answer.status !== 200 && answer.status !== 404) throw await this.failed(answer, asked);
			await discardBody(answer);
			return answer.status === 200;
		});
	}

	/** The tags of a repository, in the registry's order. @throws as `manifest` */
	async tags(reference: Repository, options: AskOptions = {}): Promise<readonly string[]> {
		const asked = this.#asked(reference, "the tags", options);
		return await this.askHosts(reference, "pull", asked, async (host) => {
			const found = new Set<string>();
			let path: string | URL | undefined = "tags/list?n=1000";
			for (let page = 0; path !== undefined; page++) {
				if (page === MAX_TAG_PAGES)
					throw wrongAnswer(new URL(host.origin).host, asked, "its list of tags has no end");
				const answer = await this.send(host, reference, { method: "GET", path }, asked);
				if (answer.status !== 200) throw await this.failed(answer, asked);
				for (const tag of readTags(await readBody(answer, MAX_TAGS_BYTES, asked), answer.host, asked))
					found.add(tag);
				path = nextPage(answer, host, asked);
			}
			return [...found];
		});
	}

	/**
	 * What writes to a repository: at one host, the first that takes pushes.
	 * @throws {LamellaError} `ECONFIG` where none does
	 */
	async writer(reference: Repository, options: AskOptions = {}): Promise<RepositoryWriter> {
		const [host] = await this.#hostsFor(reference, "push");
		const { what, ...asked } = this.#asked(reference, "", options);
		if (host === undefined) throw noPushHost(reference.registry, asked.repository);
		return new RepositoryWriter({ client: this, host, reference, retry: this.#retry, asked });
	}

	/**
	 * Does `work` with the hosts that can, one after the other, until it succeeds with one. The last one is tried again where a
	 * failure may pass.
	 * @throws the failure of the last host, with those before it in its message
	 */
	async askHosts<T>(
		reference: Repository,
		capability: Capability,
		asked: Asked,
		work: (host: RegistryHost) => Promise<T>,
	): Promise<T> {
		const hosts = await this.#hostsFor(reference, capability);
		const failures: RegistryError[] = [];
		for (const [i, host] of hosts.entries()) {
			const attempts = i === hosts.length - 1 ? this.#retry.attempts : 1;
			try {
				return await retrying({ ...this.#retry, attempts }, asked.signal, () => work(host));
			} catch (error) {
				if (asked.signal?.aborted === true) throw cancelled(asked);
				if (!(error instanceof RegistryError)) throw error;
				failures.push(error);
			}
		}
		throw ofAllHosts(failures, asked);
	}

	/**
	 * One request to one host, with what it wants to be shown. Any status comes back but a 401 that something could be done about.
	 * @throws {RegistryError} `ENETWORK`, `EREGISTRY`, and what a token server answers
	 */
	async send(
		host: RegistryHost,
		reference: Repository,
		request: RegistryRequest,
		asked: Asked,
	): Promise<HttpAnswer> {
		const {
			method,
			path,
			headers,
			body,
			headersTimeoutMs,
			scopes = [`repository:${reference.repository}:pull`],
		} = request;
		const url = typeof path === "string" ? urlOf(host, reference, path) : path;
		for (let round = 1; ; round++) {
			const shown = await this.#authorizer.shown(host, reference.repository, scopes, asked);
			const http: HttpRequest = {
				method,
				url,
				headers,
				headersTimeoutMs,
				body: body?.(),
				// An upload may go on at another host, which gets no credentials: its address has to be enough.
				authorization: url.origin === host.origin ? shown.header : undefined,
				asSomebody: shown.asSomebody,
			};
			const answer = await exchange(host, http, asked, this.#reached.has(host.origin));
			this.#reached.add(host.origin);
			const isOwn = answer.url.origin === new URL(host.origin).origin;
			if (answer.status !== 401 || !isOwn || round === MAX_ROUNDS) return answer;
			const challenges = parseChallenges(answer.headers["www-authenticate"]);
			if (!(await this.#authorizer.learn(host, reference.repository, scopes, challenges, shown)))
				return answer;
			await discardBody(answer);
		}
	}

	/** The error for an answer that reports a failure; its body is read for the reason. */
	async failed(answer: HttpAnswer, asked: Asked): Promise<RegistryError> {
		const body = await readBody(answer, MAX_ERROR_BYTES, asked).catch(() => Buffer.alloc(0));
		const retryAfterMs = parseRetryAfter(header(answer, "retry-after"));
		const { status, asSomebody } = answer;
		return failedAnswer(
			{ host: answer.host, status, errors: reportedErrors(body), retryAfterMs, asSomebody },
			asked,
		);
	}

	async #manifestFrom(
		host: RegistryHost,
		reference: Repository,
		tagOrDigest: string,
		expected: string | undefined,
		asked: Asked,
	): Promise<RegistryManifest> {
		const answer = await this.send(
			host,
			reference,
			{ ...GET_MANIFEST, path: `manifests/${tagOrDigest}` },
			asked,
		);
		if (answer.status !== 200) throw await this.failed(answer, asked);
		return await readManifest(answer, expected, asked);
	}

	async #hostsFor({ registry }: Repository, capability: Capability): Promise<readonly RegistryHost[]> {
		return (await this.#hosts.hostsOf(registry)).filter(({ can }) => can[capability]);
	}

	#asked(reference: Repository, what: string, { signal }: AskOptions): Asked {
		return { what, repository: familiarRepository(reference), registry: reference.registry, signal };
	}
}

const GET_MANIFEST = { method: "GET", headers: { accept: ACCEPTED_MANIFESTS } } as const;

/** The blob's digest is from a manifest, so the registry should have the blob. */
function lostBlob({ host, status, message }: RegistryError, { what, repository }: Asked): RegistryError {
	const why = `though a manifest of ${repository} names it: the registry has lost it, or never had it whole`;
	return new RegistryError(
		"EREGISTRY",
		`${message.replace(/;[^;]*$/, "")}, ${why}; ${what} has to be pushed there again`,
		{
			host,
			status,
		},
	);
}

/** Mirrors serve many registries: they are told which one is meant, as containerd does. */
function urlOf(host: RegistryHost, { registry, repository }: Repository, path: string): URL {
	const url = new URL(`${host.origin}${host.path}/${repository}/${path}`);
	if (host.isMirror) url.searchParams.set("ns", registry);
	return url;
}
