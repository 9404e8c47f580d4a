/**
 * The connections for one host of a registry. What it is asked may lead elsewhere (a token server, a redirect to where blobs
 * are kept): such an origin gets a pool of its own, with the proxy that is meant for it. The host's CAs and `skip_verify` are
 * good there too, as in containerd; its client certificate is shown to the host alone.
 */
import { Dispatcher, Pool, ProxyAgent } from "undici";
import { proxyFor } from "./proxy.ts";
import type { Timeouts } from "./registry-host.ts";
import { type HostTls, secureContextOf } from "./trust.ts";

const CONNECT_MS = 20_000;
const HEADERS_MS = 60_000;
const BODY_MS = 60_000;

export class HostDispatcher extends Dispatcher {
	readonly #origin: string;
	readonly #tls: HostTls;
	readonly #environment: Readonly<Record<string, string | undefined>>;
	readonly #timeouts: Timeouts;
	readonly #dispatchers = new Map<string, Dispatcher>();

	constructor(
		origin: string,
		tls: HostTls,
		environment: Readonly<Record<string, string | undefined>>,
		timeouts: Timeouts,
	) {
		super();
		this.#origin = origin;
		this.#tls = tls;
		this.#environment = environment;
		this.#timeouts = timeouts;
	}

	override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
		const { origin } = new URL(options.origin ?? this.#origin);
		let dispatcher = this.#dispatchers.get(origin);
		if (dispatcher === undefined) {
			dispatcher = this.#open(origin);
			this.#dispatchers.set(origin, dispatcher);
		}
		return dispatcher.dispatch({ ...options, origin }, handler);
	}

	override async close(): Promise<void> {
		await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.close()));
	}

	override async destroy(): Promise<void> {
		await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
	}

	#open(origin: string): Dispatcher {
		const { connectMs = CONNECT_MS, headersMs = HEADERS_MS, bodyMs = BODY_MS } = this.#timeouts;
		const settings = { headersTimeout: headersMs, bodyTimeout: bodyMs, allowH2: false };
		const isOwn = origin === this.#origin;
		// Without TLS no CA is read.
		const connect = {
			timeout: connectMs,
			...(origin.startsWith("https:") && {
				secureContext: secureContextOf(this.#tls, isOwn, this.#environment),
				rejectUnauthorized: !this.#tls.skipVerify,
			}),
		};
		const proxy = proxyFor(origin, this.#environment);
		if (proxy === undefined) return new Pool(origin, { ...settings, connect });
		const ownTrust = { authorities: [], clients: [], skipVerify: false };
		const proxyTls =
			proxy.protocol === "https:"
				? { secureContext: secureContextOf(ownTrust, false, this.#environment) }
				: undefined;
		return new ProxyAgent({
			...settings,
			uri: proxy.href,
			connectTimeout: connectMs,
			requestTls: connect,
			...(proxyTls && { proxyTls }),
		});
	}
}
