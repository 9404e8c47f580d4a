/** Whether a registry takes credentials: asked as docker does, by its first address, before they are stored. */

import { LamellaError } from "../../errors/index.ts";
import { discardBody } from "../client/exchange.ts";
import { RegistryError } from "../client/failure.ts";
import { RegistryClient } from "../client/registry-client.ts";
import { openHosts } from "../hosts/open-hosts.ts";
import type { HostOptions } from "../hosts/registry-host.ts";

/**
 * @throws {RegistryError} `EUNAUTHORIZED` (it does not take them), `ENETWORK`, `EREGISTRY`; {LamellaError} `ECONFIG`, `EABORTED`
 */
export async function checkLogin(
	registry: string,
	credentials: { readonly username: string; readonly password: string },
	options: { readonly hosts?: HostOptions | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
	const hosts = openHosts(options.hosts);
	try {
		const own = (await hosts.hostsOf(registry)).at(-1);
		if (own === undefined || own.isMirror) {
			const name = own === undefined ? "nowhere" : `to ${new URL(own.origin).host}`;
			throw new LamellaError("ECONFIG", `hosts.toml sends ${registry} ${name}; log in there`);
		}
		const client = new RegistryClient({ hosts, credentials: { credentialsFor: async () => credentials } });
		const asked = { what: "a login", repository: registry, registry, signal: options.signal };
		const path = new URL(`${own.origin}${own.path}/`);
		const answer = await client.send(own, asked, { method: "GET", path, scopes: [] }, asked);
		if (answer.status === 404) {
			await discardBody(answer);
			throw new LamellaError(
				"ENOTFOUND",
				`${answer.host} is no registry: it has no ${path.pathname} (404); check the name`,
			);
		}
		if (answer.status !== 200) throw await client.failed(answer, asked);
		await discardBody(answer);
	} catch (error) {
		if (!(error instanceof RegistryError) || (error.status !== 401 && error.status !== 403)) throw error;
		throw new RegistryError(
			"EUNAUTHORIZED",
			`${error.host} does not take this name and password for ${registry} (${error.status}); some registries want a token in place of the password`,
			{ host: error.host, status: error.status },
		);
	} finally {
		await hosts.close();
	}
}
