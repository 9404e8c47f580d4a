/**
 * What hosts are shown: Basic credentials, or Bearer tokens of the server that the host's challenge names, for a scope each, kept
 * as long as they are good. Source: distribution's token and OAuth2 specifications.
 */
import type { CredentialSource, Credentials } from "../credentials/contract.ts";
import type { RegistryHost } from "../hosts/registry-host.ts";
import type { Challenge } from "./challenge.ts";
import { exchange, type HttpAnswer, header } from "./exchange.ts";
import {
	type Asked,
	failedAnswer,
	fieldOf,
	quotedText,
	RegistryError,
	reportedErrors,
	wrongAnswer,
} from "./failure.ts";
import { readBody } from "./read-body.ts";
import { parseRetryAfter } from "./retry.ts";

const CLIENT_ID = "lamella";
const MAX_TOKEN_BYTES = 1 << 20;
/** What a token server means that does not say how long. */
const DEFAULT_LIFETIME_S = 60;
/** A token is renewed so long before its end, or a tenth of its time before, whichever is less. */
const EARLY_MS = 10_000;

interface Token {
	readonly value: string;
	readonly goodUntilMs: number;
}

/** How a host wants credentials, by its last challenge. */
type Scheme =
	| { readonly kind: "basic" }
	| { readonly kind: "bearer"; readonly parameters: Challenge["parameters"] };

/** What is shown to a host for some scopes. */
export interface Shown {
	readonly header: string | undefined;
	/** Somebody's credentials, or a token that was given for some. */
	readonly asSomebody: boolean;
}

export class Authorizer {
	readonly #credentials: CredentialSource;
	readonly #schemes = new Map<string, Scheme>();
	readonly #tokens = new Map<string, Promise<Token>>();

	constructor(credentials: CredentialSource) {
		this.#credentials = credentials;
	}

	/** The header to send; none before the host has asked for credentials. */
	async shown(
		host: RegistryHost,
		repository: string,
		scopes: readonly string[],
		asked: Asked,
	): Promise<Shown> {
		const scheme = this.#schemes.get(host.origin);
		if (scheme === undefined) return { header: undefined, asSomebody: false };
		const credentials = await this.#credentialsFor(host, repository);
		const asSomebody = credentials !== undefined;
		if (credentials !== undefined && "registryToken" in credentials)
			return { header: `Bearer ${credentials.registryToken}`, asSomebody };
		if (scheme.kind === "basic") return { header: basic(credentials), asSomebody };
		const key = keyOf(host, scopes);
		const kept = this.#tokens.get(key);
		// One that failed was taken out; one that is too old is asked for anew.
		let token = kept === undefined ? undefined : await kept;
		if (token === undefined || Date.now() >= token.goodUntilMs) {
			if (this.#tokens.get(key) === kept) {
				const asking = this.#fetchToken(host, scheme.parameters, scopes, credentials, asked);
				this.#tokens.set(key, asking);
				asking.catch(() => this.#tokens.delete(key));
			}
			token = await (this.#tokens.get(key) as Promise<Token>);
		}
		return { header: `Bearer ${token.value}`, asSomebody };
	}

	/** Learns from a 401 how the host wants credentials. @returns whether there are others to try than those that were shown */
	async learn(
		host: RegistryHost,
		repository: string,
		scopes: readonly string[],
		challenges: readonly Challenge[],
		shown: Shown,
	): Promise<boolean> {
		const before = this.#schemes.get(host.origin);
		const bearer = challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters.realm);
		if (bearer !== undefined) {
			this.#schemes.set(host.origin, { kind: "bearer", parameters: bearer.parameters });
			await this.#forget(keyOf(host, scopes), shown);
			const credentials = await this.#credentialsFor(host, repository);
			return shown.header === undefined || !(credentials !== undefined && "registryToken" in credentials);
		}
		const credentials = await this.#credentialsFor(host, repository);
		if (challenges.some(({ scheme }) => scheme === "basic"))
			this.#schemes.set(host.origin, { kind: "basic" });
		// Some hosts do not say what they want; a registry's own token is sent to them all the same.
		else if (before === undefined && credentials !== undefined)
			this.#schemes.set(host.origin, { kind: "basic" });
		else return false;
		return credentials !== undefined && shown.header === undefined;
	}

	/** Takes out a token that a host refused: it had run out, or been taken back. One that has come since is kept. */
	async #forget(key: string, { header: refused }: Shown): Promise<void> {
		const kept = this.#tokens.get(key);
		const token = await kept?.catch(() => undefined);
		if (token !== undefined && `Bearer ${token.value}` === refused && this.#tokens.get(key) === kept)
			this.#tokens.delete(key);
	}

	async #credentialsFor(host: RegistryHost, repository: string): Promise<Credentials | undefined> {
		return await this.#credentials.credentialsFor(new URL(host.origin).host, repository);
	}

	async #fetchToken(
		host: RegistryHost,
		parameters: Challenge["parameters"],
		scopes: readonly string[],
		credentials: Credentials | undefined,
		about: Asked,
	): Promise<Token> {
		const { realm = "", service, scope } = parameters;
		// With the first caller's signal, its abort would take the token from the others.
		const asked: Asked = { ...about, what: `a token for ${about.what}`, signal: undefined };
		const url = realmOf(host, realm, credentials, asked);
		const wanted = [...new Set([...scopes, ...(scope?.split(" ").filter(Boolean) ?? [])])];
		const answer = await exchange(host, tokenRequest(url, service, wanted, credentials), asked, true);
		const body = await readBody(answer, MAX_TOKEN_BYTES, asked);
		if (answer.status !== 200) throw refusedToken(answer, body, credentials !== undefined, asked);
		return readToken(answer, body, asked);
	}
}

function keyOf({ origin }: RegistryHost, scopes: readonly string[]): string {
	return [origin, ...scopes.toSorted()].join(" ");
}

function basic(credentials: Credentials | undefined): string | undefined {
	if (credentials === undefined || !("password" in credentials)) return undefined;
	const { username, password } = credentials;
	return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function realmOf(host: RegistryHost, realm: string, credentials: Credentials | undefined, asked: Asked): URL {
	const { host: name } = new URL(host.origin);
	if (!URL.canParse(realm) || !/^https?:$/.test(new URL(realm).protocol))
		throw wrongAnswer(name, asked, `it names ${quotedText(realm)} as its token server, which is no address`);
	const url = new URL(realm);
	// Credentials that are meant to go by TLS go by nothing else.
	if (credentials !== undefined && url.protocol === "http:" && host.origin.startsWith("https:")) {
		throw wrongAnswer(
			name,
			asked,
			`its token server ${url.host} is without TLS; no credentials are sent there`,
		);
	}
	return url;
}

function tokenRequest(
	url: URL,
	service: string | undefined,
	scopes: readonly string[],
	credentials: Credentials | undefined,
): Parameters<typeof exchange>[1] {
	if (credentials !== undefined && "identityToken" in credentials) {
		const form = new URLSearchParams({
			grant_type: "refresh_token",
			client_id: CLIENT_ID,
			refresh_token: credentials.identityToken,
			...(service === undefined ? {} : { service }),
			...(scopes.length === 0 ? {} : { scope: scopes.join(" ") }),
		});
		const headers = { "content-type": "application/x-www-form-urlencoded" };
		return { method: "POST", url, headers, body: form.toString() };
	}
	if (service !== undefined) url.searchParams.set("service", service);
	for (const scope of scopes) url.searchParams.append("scope", scope);
	const authorization = basic(credentials);
	if (credentials !== undefined && "username" in credentials && credentials.username !== undefined)
		url.searchParams.set("account", credentials.username);
	return { method: "GET", url, authorization };
}

function refusedToken(answer: HttpAnswer, body: Buffer, asSomebody: boolean, asked: Asked): RegistryError {
	const { host, status } = answer;
	// OAuth2 says "invalid_grant" with 400 for a refresh token that is good no longer.
	const refused = status === 400 || status === 401 || status === 403;
	if (refused && asSomebody) {
		return new RegistryError(
			"EUNAUTHORIZED",
			`${host} gives no token for ${asked.repository} (${status}): it does not take the credentials; \`lamella login ${asked.registry}\` takes others`,
			{ host, status },
		);
	}
	const retryAfterMs = parseRetryAfter(header(answer, "retry-after"));
	return failedAnswer({ host, status, errors: reportedErrors(body), retryAfterMs, asSomebody }, asked);
}

function readToken({ host }: HttpAnswer, body: Buffer, asked: Asked): Token {
	let document: unknown;
	try {
		document = JSON.parse(body.toString("utf8"));
	} catch {
		throw wrongAnswer(host, asked, "it is not JSON");
	}
	const value = fieldOf(document, "token") || fieldOf(document, "access_token");
	if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value))
		throw wrongAnswer(host, asked, "there is no token in it");
	const said = fieldOf(document, "expires_in");
	const lifetimeMs = 1000 * (typeof said === "number" && said > 0 ? said : DEFAULT_LIFETIME_S);
	return { value, goodUntilMs: Date.now() + lifetimeMs - Math.min(EARLY_MS, lifetimeMs / 10) };
}
