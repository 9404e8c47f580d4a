/** A host that is asked for a registry: one of the list in `hosts.toml`, or the registry itself. */
import type { Dispatcher } from "undici";

export interface RegistryHost {
	/** `https://host` or `https://host:port`: without a path, without the scheme's own port. */
	readonly origin: string;
	/** What every request's path begins with: `/v2`, or what `hosts.toml` says. */
	readonly path: string;
	readonly can: { readonly pull: boolean; readonly resolve: boolean; readonly push: boolean };
	/** Connects with the host's TLS settings, through the proxy that is meant for it. It takes other origins, too: see HostDispatcher. */
	readonly dispatcher: Dispatcher;
	/** Sent with every request to this origin, and to no other. */
	readonly headers: Readonly<Record<string, string>>;
	/** It is not the registry's own host: as with containerd, requests to it have `?ns=REGISTRY`. */
	readonly isMirror: boolean;
}

export interface Hosts {
	/**
	 * The hosts of a registry (`docker.io`, `localhost:5000`) in the order to ask.
	 * @throws {LamellaError} `ECONFIG` naming the file and the key
	 */
	hostsOf(registry: string): Promise<readonly RegistryHost[]>;
	/** Closes all connections. */
	close(): Promise<void>;
}

export interface HostOptions {
	/** Directories like /etc/containerd/certs.d, in place of the usual ones. */
	readonly certsDirectories?: readonly string[] | undefined;
	/** Where proxies and the system's CAs are read from (default: `process.env`). */
	readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
	readonly timeouts?: Timeouts | undefined;
}

export interface Timeouts {
	readonly connectMs?: number | undefined;
	/** From the request's end to the answer's head. */
	readonly headersMs?: number | undefined;
	/** Between two pieces of a body. */
	readonly bodyMs?: number | undefined;
}
