/** What a directory of certs.d says about a registry, read from either form: hosts not yet opened. */
import type { HostTls } from "./trust.ts";

/** One host to ask. */
export interface HostConfig {
	/** Undefined: the registry's own host, as it is found without any configuration. */
	readonly origin: string | undefined;
	readonly path: string;
	readonly can: { readonly pull: boolean; readonly resolve: boolean; readonly push: boolean };
	readonly headers: Readonly<Record<string, string>>;
	readonly tls: HostTls;
}

export const NO_TLS_SETTINGS: HostTls = { authorities: [], clients: [], skipVerify: false };

/** A registry's own host, where nothing is said of it. */
export const PLAIN_HOST: HostConfig = {
	origin: undefined,
	path: "/v2",
	can: { pull: true, resolve: true, push: true },
	headers: {},
	tls: NO_TLS_SETTINGS,
};
