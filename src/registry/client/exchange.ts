/**
 * One exchange with a host: a request, and the answer's head with its body unread. Redirects are followed here, so that what is
 * meant for one host (credentials, headers of hosts.toml) never goes to another.
 */
import type { Dispatcher } from "undici";
import type { RegistryHost } from "../hosts/registry-host.ts";
import { type Asked, brokenConnection, quotedText, wrongAnswer } from "./failure.ts";

const MAX_REDIRECTS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const USER_AGENT = "lamella";

export type Headers = Readonly<Record<string, string>>;

export interface HttpRequest {
	readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
	readonly url: URL;
	readonly headers?: Headers | undefined;
	readonly body?: Dispatcher.DispatchOptions["body"] | undefined;
	/** Until the answer's head, where the host is given more time than usual. */
	readonly headersTimeoutMs?: number | undefined;
	/** For this origin alone. */
	readonly authorization?: string | undefined;
	/** Whether somebody's credentials are behind that. */
	readonly asSomebody?: boolean | undefined;
}

export interface HttpAnswer {
	readonly status: number;
	readonly headers: Readonly<Record<string, string | string[] | undefined>>;
	readonly body: Dispatcher.ResponseData["body"];
	/** Where it came from: another host after a redirect. */
	readonly url: URL;
	/** `host[:port]` that gave it. */
	readonly host: string;
	/** Whether somebody's credentials were shown for it. */
	readonly asSomebody: boolean;
}

/** The value of a header that is to be there once. */
export function header({ headers }: Pick<HttpAnswer, "headers">, name: string): string | undefined {
	const value = headers[name];
	return Array.isArray(value) ? value[0] : value;
}

/** Lets the connection be used again, or go. */
export async function discardBody({ body }: Pick<HttpAnswer, "body">): Promise<void> {
	await body.dump().catch(() => {
		// It broke off: what it had to say is not wanted.
	});
}

/**
 * @param wasReached whether this host has answered before
 * @throws {RegistryError} `ENETWORK`, `EREGISTRY` (redirects that lead nowhere); {LamellaError} `EABORTED`
 */
export async function exchange(
	host: RegistryHost,
	request: HttpRequest,
	asked: Asked,
	wasReached: boolean,
): Promise<HttpAnswer> {
	let { url } = request;
	const own = url.origin;
	for (let redirects = 0; ; redirects++) {
		const isOwn = url.origin === own;
		const answer = await once(host, { ...request, url }, isOwn, asked, wasReached);
		const location = header(answer, "location");
		const follows = request.method === "GET" || request.method === "HEAD";
		if (!REDIRECTS.has(answer.status) || location === undefined || !follows) return answer;
		await discardBody(answer);
		if (redirects === MAX_REDIRECTS)
			throw wrongAnswer(url.host, asked, `more than ${MAX_REDIRECTS} redirects; they go in circles`);
		url = redirectedTo(url, location, asked);
	}
}

function redirectedTo(from: URL, location: string, asked: Asked): URL {
	// Without the query: it may be a signature that lets anybody have the blob.
	const shown = quotedText(location.replace(/[?#].*$/s, ""));
	const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
	if (to === undefined || !/^https?:$/.test(to.protocol)) {
		throw wrongAnswer(from.host, asked, `a redirect to ${shown}, which is no address`);
	}
	if (from.protocol === "https:" && to.protocol === "http:") {
		throw wrongAnswer(
			from.host,
			asked,
			`a redirect from TLS to plain HTTP (${shown}), which is not followed`,
		);
	}
	to.username = "";
	to.password = "";
	return to;
}

async function once(
	host: RegistryHost,
	{ method, url, headers, body, headersTimeoutMs, authorization, asSomebody = false }: HttpRequest,
	isOwn: boolean,
	asked: Asked,
	wasReached: boolean,
): Promise<HttpAnswer> {
	try {
		const answer = await host.dispatcher.request({
			origin: url.origin,
			path: `${url.pathname}${url.search}`,
			method,
			headers: {
				"user-agent": USER_AGENT,
				// Digests are over the bytes as they are kept.
				"accept-encoding": "identity",
				...headers,
				// Not for its token server, nor for where its uploads go.
				...(url.origin === host.origin ? host.headers : {}),
				...(isOwn && authorization !== undefined ? { authorization } : {}),
			},
			body: body ?? null,
			...(headersTimeoutMs === undefined ? {} : { headersTimeout: headersTimeoutMs }),
			...(asked.signal === undefined ? {} : { signal: asked.signal }),
		});
		// The reader of the body handles its failure; one that comes earlier must not end the process.
		answer.body.on("error", () => {});
		const { statusCode: status, headers: received, body: content } = answer;
		return { status, headers: received, body: content, url, host: url.host, asSomebody: isOwn && asSomebody };
	} catch (error) {
		throw brokenConnection(error, url.host, asked, { wasReached });
	}
}
