/**
 * A proxy in front of a registry that misbehaves as it is told: each request that a rule is for gets the rule's fault
 * (faults.ts), as often as the rule says; all others go through. What was asked is kept, for tests to look at.
 */
import {
	createServer,
	type IncomingHttpHeaders,
	type IncomingMessage,
	request,
	type ServerResponse,
} from "node:http";
import { closeServer, listen } from "./servers.ts";

/** One request, and what can be done with it. */
export interface Exchange {
	readonly request: IncomingMessage;
	readonly response: ServerResponse;
	/** Passes it on and the answer back, with what is changed of them. */
	pass(change?: Change): Promise<void>;
}

export interface Answer {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
}

export interface Change {
	/** The request's headers. */
	request?(headers: IncomingHttpHeaders): IncomingHttpHeaders;
	head?(answer: Answer): Answer;
	/** What is sent of the answer's body; it may destroy the connection. */
	body?(body: AsyncIterable<Buffer>, response: ServerResponse): AsyncIterable<Buffer>;
}

export type Fault = (exchange: Exchange) => Promise<void> | void;

export interface Rule {
	readonly when: (request: IncomingMessage) => boolean;
	/** How often (default: always). */
	readonly times?: number;
	readonly fault: Fault;
}

export interface SeenRequest {
	readonly method: string;
	readonly path: string;
	readonly headers: IncomingHttpHeaders;
	/** What was answered; 0 where nothing was. */
	status: number;
}

export class MisbehavingProxy implements AsyncDisposable {
	readonly requests: SeenRequest[] = [];
	readonly #upstream: string;
	readonly #server = createServer((incoming, response) => void this.#serve(incoming, response));
	#rules: { readonly rule: Rule; left: number }[] = [];
	#address = "";

	private constructor(upstream: string) {
		this.#upstream = upstream;
	}

	/** Before `upstream`, an origin. At another address of this machine it is another host. */
	static async start(upstream: string, address = "127.0.0.1"): Promise<MisbehavingProxy> {
		const proxy = new MisbehavingProxy(upstream);
		proxy.#address = `${address}:${await listen(proxy.#server, address)}`;
		return proxy;
	}

	/** `address:port`, as it stands in references. */
	get host(): string {
		return this.#address;
	}

	get origin(): string {
		return `http://${this.#address}`;
	}

	/** From now on these rules, the first that fits; forgets what was seen. */
	misbehave(...rules: readonly Rule[]): void {
		this.#rules = rules.map((rule) => ({ rule, left: rule.times ?? Number.POSITIVE_INFINITY }));
		this.requests.length = 0;
	}

	/** The requests of a kind, as `GET /v2/…`. */
	seen(pattern: RegExp): readonly SeenRequest[] {
		return this.requests.filter(({ method, path }) => pattern.test(`${method} ${path}`));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await closeServer(this.#server);
	}

	async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
		const { method = "", url = "", headers } = incoming;
		const seen: SeenRequest = { method, path: url, headers, status: 0 };
		this.requests.push(seen);
		response.once("finish", () => {
			seen.status = response.statusCode;
		});
		const found = this.#rules.find(({ rule, left }) => left > 0 && rule.when(incoming));
		if (found !== undefined) found.left -= 1;
		const pass = (change?: Change): Promise<void> => this.#pass(incoming, response, change);
		try {
			await (found === undefined ? pass() : found.rule.fault({ request: incoming, response, pass }));
		} catch {
			// One of both sides has hung up.
			response.destroy();
		}
	}

	async #pass(incoming: IncomingMessage, response: ServerResponse, change: Change = {}): Promise<void> {
		const { request: ask = same, head = same, body } = change;
		const outgoing = request(new URL(incoming.url ?? "/", this.#upstream), {
			method: incoming.method,
			// With the host that the client named: the registry's own Location then leads here again.
			headers: ask(incoming.headers),
			agent: false,
		});
		response.once("close", () => outgoing.destroy());
		const answered = new Promise<IncomingMessage>((resolve, reject) => {
			outgoing.once("response", resolve).once("error", reject);
		});
		incoming.pipe(outgoing);
		const answer = await answered;
		const { status, headers } = head({ status: answer.statusCode ?? 0, headers: answer.headers });
		response.writeHead(status, headers);
		response.flushHeaders();
		for await (const piece of body === undefined ? answer : body(answer, response)) {
			if (response.destroyed) return;
			if (!response.write(piece)) await drained(response);
		}
		response.end();
	}
}

function same<T>(value: T): T {
	return value;
}

/** Waits until there is room again, or nobody left to write to. */
function drained(response: ServerResponse): Promise<void> {
	return new Promise((resolve) => {
		const done = (): void => {
			response.off("drain", done).off("close", done);
			resolve();
		};
		response.on("drain", done).on("close", done);
	});
}
