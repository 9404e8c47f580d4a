/** What a registry is shown so that it knows who asks, and where that comes from. */

export type Credentials =
	| { readonly username: string; readonly password: string }
	/** A refresh token, which a token server gives access tokens for. */
	| { readonly identityToken: string; readonly username?: string | undefined }
	/** Sent to the registry as it is. */
	| { readonly registryToken: string };

export interface CredentialSource {
	/**
	 * What to show `host` (`host[:port]`, the one that is asked); undefined: ask as nobody. `repository` finds what podman keeps
	 * for a part of a registry.
	 * @throws {LamellaError} `ECONFIG` (a file that cannot be read, a helper that fails)
	 */
	credentialsFor(host: string, repository?: string): Promise<Credentials | undefined>;
}
