/** A client as people's settings of registries make it. */
import type { CredentialSource, Credentials } from "../credentials/contract.ts";
import { openCredentials } from "../credentials/credential-source.ts";
import { openHosts } from "../hosts/open-hosts.ts";
import { hostOfRegistry } from "../hosts/registry-address.ts";
import type { HostOptions } from "../hosts/registry-host.ts";
import { RegistryClient, type RegistryClientOptions } from "./registry-client.ts";

export interface OpenClientOptions extends Pick<RegistryClientOptions, "retry"> {
	/** For the registry itself, in place of what is stored; never for its mirrors. */
	readonly auth?: Credentials | undefined;
	readonly hosts?: HostOptions | undefined;
}

/** Connects to nothing yet. Bind it with `await using`. */
export function openRegistryClient(
	registry: string,
	{ auth, hosts, retry }: OpenClientOptions = {},
): RegistryClient {
	const stored = openCredentials();
	const own = hostOfRegistry(registry);
	const credentials: CredentialSource =
		auth === undefined
			? stored
			: {
					credentialsFor: async (host, repository) =>
						host === own ? auth : await stored.credentialsFor(host, repository),
				};
	return new RegistryClient({ hosts: openHosts(hosts), credentials, retry });
}
