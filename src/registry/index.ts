/** Entry for callers that speak to registries. It loads undici: import it when it is needed. */
export { BlobStream } from "./client/blob-stream.ts";
export type { HttpAnswer } from "./client/exchange.ts";
export type { Asked, RegistryError } from "./client/failure.ts";
export type { RegistryManifest } from "./client/manifest.ts";
export { type OpenClientOptions, openRegistryClient } from "./client/open-client.ts";
export { type BlobOptions, RegistryClient, type RegistryClientOptions } from "./client/registry-client.ts";
export type { RepositoryWriter } from "./client/repository-writer.ts";
export type { RetryPolicy } from "./client/retry.ts";
export { checkLogin } from "./credentials/check-login.ts";
export type { CredentialSource, Credentials } from "./credentials/contract.ts";
export { openCredentials } from "./credentials/credential-source.ts";
export { type RemovedLogin, removeLogin, storeLogin } from "./credentials/stored-login.ts";
export { openHosts } from "./hosts/open-hosts.ts";
export type { HostOptions, Hosts, RegistryHost, Timeouts } from "./hosts/registry-host.ts";
