export type { CredentialSource, Credentials } from "./credentials/contract.ts";
export { openCredentials } from "./credentials/credential-source.ts";
export { type RemovedLogin, removeLogin, storeLogin } from "./credentials/stored-login.ts";
export { openHosts } from "./hosts/open-hosts.ts";
export type { HostOptions, Hosts, RegistryHost, Timeouts } from "./hosts/registry-host.ts";
