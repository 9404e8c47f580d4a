/** The hosts of registries, each opened once, with its connections. */
import { CERTS_DIRECTORIES, hostConfigsOf } from "./certs-directory.ts";
import type { HostConfig } from "./host-config.ts";
import { HostDispatcher } from "./host-dispatcher.ts";
import { hostOfRegistry, originOfRegistry } from "./registry-address.ts";
import type { HostOptions, Hosts, RegistryHost } from "./registry-host.ts";

/** Reads nothing and connects to nothing until it is asked for a registry. */
export function openHosts(options: HostOptions = {}): Hosts {
	return new OpenHosts(options);
}

class OpenHosts implements Hosts {
	readonly #options: HostOptions;
	readonly #opened = new Map<string, Promise<readonly RegistryHost[]>>();

	constructor(options: HostOptions) {
		this.#options = options;
	}

	hostsOf(registry: string): Promise<readonly RegistryHost[]> {
		let hosts = this.#opened.get(registry);
		if (hosts === undefined) {
			hosts = this.#open(registry);
			this.#opened.set(registry, hosts);
		}
		return hosts;
	}

	async close(): Promise<void> {
		const opened = await Promise.allSettled(this.#opened.values());
		const hosts = opened.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
		// Nobody waits for an answer any more. A connection with an unread blob would never close by itself.
		await Promise.all(hosts.map(({ dispatcher }) => dispatcher.destroy()));
	}

	async #open(registry: string): Promise<readonly RegistryHost[]> {
		const { certsDirectories = CERTS_DIRECTORIES } = this.#options;
		const configs = hostConfigsOf(registry, certsDirectories);
		return await Promise.all(configs.map((config) => this.#openHost(registry, config)));
	}

	async #openHost(registry: string, config: HostConfig): Promise<RegistryHost> {
		const { environment = process.env, timeouts = {} } = this.#options;
		const hasTls = config.tls.authorities.length + config.tls.clients.length > 0 || config.tls.skipVerify;
		const origin =
			config.origin ??
			// Who gives a registry certificates means TLS.
			(hasTls ? new URL(`https://${hostOfRegistry(registry)}`).origin : await originOfRegistry(registry));
		return {
			origin,
			path: config.path,
			can: config.can,
			headers: config.headers,
			dispatcher: new HostDispatcher(origin, config.tls, environment, timeouts),
			isMirror:
				new URL(origin).host !== new URL(`${new URL(origin).protocol}//${hostOfRegistry(registry)}`).host,
		};
	}
}
