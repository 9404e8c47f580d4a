/** What the files call a registry: docker's and podman's keys of `auths` and `credHelpers`. */

/** Docker Hub has had many names; docker keeps it under the first registry's address. */
export const DOCKER_HUB_KEY = "https://index.docker.io/v1/";
const DOCKER_HUB_HOSTS: readonly string[] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

export function isDockerHub(host: string): boolean {
	return DOCKER_HUB_HOSTS.includes(host);
}

/** The key that docker writes for a registry, and that it asks helpers for. */
export function dockerKeyOf(host: string): string {
	return isDockerHub(host) ? DOCKER_HUB_KEY : host;
}

/** A host and port: of `https://host/v1/`, as old versions of docker wrote it, and of `host/group`, as podman does. */
function hostOfKey(key: string): string {
	return withoutTlsPort(key.replace(/^https?:\/\//, "").replace(/\/.*$/, ""));
}

/** `host:443` is what an address leaves out. */
function withoutTlsPort(host: string): string {
	return host.toLowerCase().replace(/:443$/, "");
}

/** Whether a key stands for the whole of a host, in whatever spelling. */
export function isKeyOfHost(key: string, host: string): boolean {
	const isWhole = /^https?:\/\//.test(key) || !key.includes("/");
	const named = hostOfKey(key);
	return isWhole && (named === withoutTlsPort(host) || (isDockerHub(named) && isDockerHub(host)));
}

/**
 * The keys for a part of a registry, the longest first: `host/a/b`, `host/a`. Podman calls Docker Hub `docker.io`.
 * Source: containers-auth.json(5).
 */
export function scopedKeys(host: string, repository: string | undefined): readonly string[] {
	const parts = repository?.split("/") ?? [];
	const name = isDockerHub(host) ? "docker.io" : host;
	return parts.map((_, i) => [name, ...parts.slice(0, parts.length - i)].join("/"));
}
