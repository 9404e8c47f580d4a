/** Credentials for a registry, and where they come from. */

export type Credentials =
	| { readonly username: string; readonly password: string }
	/** A refresh token, which a token server gives access tokens for. */
	| { readonly identityToken: string; readonly username?: string | undefined }
	/** Sent to the registry as it is. */
	| { readonly registryToken: string };

export interface CredentialSource {
	/**
	 * The credentials for `host` (`host[:port]`, the one that is asked); undefined: ask without any. `repository` finds what podman keeps
	 * for a part of a registry.
	 * @throws {LamellaError} `ECONFIG` (a file that cannot be read, a helper that fails)
	 */
	credentialsFor(host: string, repository?: string): Promise<Credentials | undefined>;
}
