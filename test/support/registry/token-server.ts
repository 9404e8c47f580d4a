/**
 * A token server as registries send their clients to (distribution's docs/spec/auth/token): it answers
 * `GET ?service=&scope=` and `POST grant_type=refresh_token|password` with JWTs that docker-registry accepts.
 *
 * What it was asked is kept, for tests to look at.
 */
import { createPrivateKey, type KeyObject, randomUUID, sign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { KeyPair } from "../../../src/registry/testing/certificates.ts";
import type { Login, TokenAuth } from "./docker-registry.ts";
import { closeServer, listen } from "./servers.ts";

/** docker-registry takes a token that much longer than it says ("clock skew"). */
const LEEWAY_SECONDS = 60;

export interface TokenServerOptions {
	/** A CA's or a self-signed certificate with its key (ES256). */
	readonly signer: KeyPair;
	/** Who may push; without it everybody may. Others get tokens to pull with. */
	readonly login?: Login;
	/** Without a login there is no token at all. */
	readonly loginToPull?: boolean;
	readonly tokenSeconds?: number;
	/** Speaks TLS: credentials go nowhere without. */
	readonly tls?: KeyPair;
	/** Answers with `token` as docker's first servers did, or with `access_token` as OAuth 2 does. */
	readonly field?: "token" | "access_token";
	/** Leaves `expires_in` and `issued_at` out: then a token lives 60 s (says the specification). */
	readonly saysNothingOfTime?: boolean;
}

export interface TokenRequest {
	readonly method: string;
	readonly service: string | undefined;
	readonly scopes: readonly string[];
	readonly username: string | undefined;
	readonly grant: string | undefined;
	readonly status: number;
}

interface Access {
	readonly type: string;
	readonly name: string;
	readonly actions: readonly string[];
}

export class TokenServer implements AsyncDisposable {
	readonly requests: TokenRequest[] = [];
	/** What was given out, in order; to look for in places where none may be. */
	readonly tokens: string[] = [];
	readonly refreshToken: string = `refresh-${randomUUID()}`;
	readonly service = "lamella tests";
	readonly #issuer = "lamella token server";
	readonly #options: TokenServerOptions;
	readonly #key: KeyObject;
	readonly #certificate: X509Certificate;
	readonly #server: Server;
	#port = 0;
	#revoked = 0;

	private constructor(options: TokenServerOptions) {
		this.#options = options;
		const serve = (request: IncomingMessage, response: ServerResponse): void => {
			void this.#serve(request, response);
		};
		const { tls } = options;
		this.#server =
			tls === undefined
				? createServer(serve)
				: createTlsServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) }, serve);
		this.#key = createPrivateKey(readFileSync(options.signer.key));
		this.#certificate = new X509Certificate(readFileSync(options.signer.certificate));
	}

	static async start(options: TokenServerOptions): Promise<TokenServer> {
		const server = new TokenServer(options);
		server.#port = await listen(server.#server);
		return server;
	}

	/** What the registry's configuration wants to know. */
	get auth(): TokenAuth {
		return {
			realm: `${this.#options.tls === undefined ? "http" : "https"}://127.0.0.1:${this.#port}/token`,
			service: this.service,
			issuer: this.#issuer,
			certificate: this.#options.signer.certificate,
		};
	}

	/** The challenge that a registry behind it answers with. */
	challenge(scope: string): string {
		return `Bearer realm="${this.auth.realm}",service="${this.service}",scope="${scope}"`;
	}

	/** Whether a request carries a token that is still good, as docker-registry would decide without its leeway. */
	accepts(authorization: string | undefined): boolean {
		const token = authorization?.replace(/^Bearer /i, "");
		if (token === undefined || !this.tokens.includes(token, this.#revoked)) return false;
		const [, payload = ""] = token.split(".");
		const { exp } = JSON.parse(Buffer.from(payload, "base64url").toString()) as { exp: number };
		return (exp + LEEWAY_SECONDS) * 1000 > Date.now();
	}

	/** No token of before is good any more. */
	revokeAll(): void {
		this.#revoked = this.tokens.length;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await closeServer(this.#server);
	}

	async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const { searchParams } = new URL(request.url ?? "/", "http://token.test");
		const form = request.method === "POST" ? new URLSearchParams(await textOf(request)) : searchParams;
		const scopes = form.getAll("scope").flatMap((scope) => scope.split(" "));
		const grant = form.get("grant_type") ?? undefined;
		const given = grant === undefined ? basicOf(request) : formLogin(form);
		const { login, loginToPull = false } = this.#options;
		const isRefreshed = grant === "refresh_token" && form.get("refresh_token") === this.refreshToken;
		const isKnown =
			isRefreshed ||
			(login !== undefined && given?.username === login.username && given.password === login.password);
		const isRefused = (given !== undefined || grant !== undefined || loginToPull) && !isKnown;
		const status = isRefused ? 401 : 200;
		this.requests.push({
			method: request.method ?? "",
			service: form.get("service") ?? undefined,
			scopes,
			username: given?.username,
			grant,
			status,
		});
		response.writeHead(status, { "content-type": "application/json" });
		if (isRefused) {
			response.end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "who are you?" }] }));
			return;
		}
		const mayPush = login === undefined || isKnown;
		const { tokenSeconds = 300, field = "token", saysNothingOfTime = false } = this.#options;
		const token = this.#token(
			scopes.flatMap((scope) => accessOf(scope, mayPush)),
			tokenSeconds,
		);
		const wantsRefresh = form.get("offline_token") === "true" || form.get("access_type") === "offline";
		response.end(
			JSON.stringify({
				[field]: token,
				...(!saysNothingOfTime && { expires_in: tokenSeconds, issued_at: new Date().toISOString() }),
				...((wantsRefresh || grant !== undefined) && isKnown && { refresh_token: this.refreshToken }),
			}),
		);
	}

	#token(access: readonly Access[], seconds: number): string {
		const now = Math.floor(Date.now() / 1000);
		const header = { typ: "JWT", alg: "ES256", x5c: [this.#certificate.raw.toString("base64")] };
		const exp = now + seconds - LEEWAY_SECONDS;
		const claims = {
			iss: this.#issuer,
			sub: "",
			aud: this.service,
			exp,
			nbf: Math.min(now, exp) - 1,
			iat: now,
			jti: randomUUID(),
			access,
		};
		const signed = [header, claims]
			.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
			.join(".");
		const signature = sign("sha256", Buffer.from(signed), { key: this.#key, dsaEncoding: "ieee-p1363" });
		const token = `${signed}.${signature.toString("base64url")}`;
		this.tokens.push(token);
		return token;
	}
}

/** `repository:a/b:pull,push` with what may be done of it. */
function accessOf(scope: string, mayPush: boolean): Access[] {
	const [, type, name, actions] = /^([^:]+):(.+):([^:]+)$/.exec(scope) ?? [];
	if (type === undefined || name === undefined || actions === undefined) return [];
	const allowed = actions.split(",").filter((action) => mayPush || action === "pull");
	return [{ type, name, actions: allowed }];
}

function basicOf({ headers }: IncomingMessage): Login | undefined {
	const [, encoded] = /^Basic (.*)$/i.exec(headers.authorization ?? "") ?? [];
	if (encoded === undefined) return undefined;
	const [, username = "", password = ""] =
		/^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString()) ?? [];
	return { username, password };
}

function formLogin(form: URLSearchParams): Login | undefined {
	const username = form.get("username");
	const password = form.get("password");
	return username === null || password === null ? undefined : { username, password };
}

async function textOf(request: IncomingMessage): Promise<string> {
	let text = "";
	for await (const chunk of request.setEncoding("utf8")) text += chunk;
	return text;
}
