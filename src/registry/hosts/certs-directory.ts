/**
 * Finds the settings for a registry below directories like /etc/containerd/certs.d: `HOST/hosts.toml`, or docker's form, the
 * files `HOST/*.crt` (CAs) and `HOST/*.cert` with `*.key` (client certificates). `host:5000` may be spelled `host_5000_`.
 * An entry for the registry in any of them goes before `_default` in one.
 */
import fs from "node:fs";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import { type HostConfig, PLAIN_HOST } from "./host-config.ts";
import { readHostsToml } from "./hosts-toml.ts";
import { hostOfRegistry } from "./registry-address.ts";
import type { HostTls } from "./trust.ts";

export const CERTS_DIRECTORIES: readonly string[] = [
	"/etc/lamella/certs.d",
	"/etc/containerd/certs.d",
	"/etc/docker/certs.d",
	"/etc/containers/certs.d",
];

/** The hosts to ask for a registry. @throws {LamellaError} `ECONFIG` */
export function hostConfigsOf(registry: string, directories: readonly string[]): readonly HostConfig[] {
	for (const name of [...spellings(registry), "_default"]) {
		for (const directory of directories) {
			const found = readEntry(path.join(directory, name));
			if (found !== undefined) return found;
		}
	}
	return [PLAIN_HOST];
}

/** Of directories for a registry, containerd's first. */
function spellings(registry: string): readonly string[] {
	const withPort = registry.replace(/:(\d+)$/, "_$1_");
	const host = hostOfRegistry(registry);
	return [...new Set([withPort, registry, host])];
}

/** Undefined where the directory is not there, or says nothing. */
function readEntry(directory: string): readonly HostConfig[] | undefined {
	const file = path.join(directory, "hosts.toml");
	const content = readOr(file, () => fs.readFileSync(file, "utf8"), undefined);
	if (content !== undefined) return readHostsToml(file, content);
	const names = readOr(directory, () => fs.readdirSync(directory), []);
	const tls = readCertificates(directory, [...names].sort());
	return tls === undefined ? undefined : [{ ...PLAIN_HOST, tls }];
}

function readCertificates(directory: string, names: readonly string[]): HostTls | undefined {
	const read = (name: string): HostTls["authorities"][number] => {
		const file = path.join(directory, name);
		return { path: file, bytes: readOr(file, () => fs.readFileSync(file)) };
	};
	const authorities = names.filter((name) => name.endsWith(".crt")).map(read);
	const clients = names
		.filter((name) => name.endsWith(".cert"))
		.map((name) => {
			const key = name.replace(/cert$/, "key");
			if (names.includes(key)) return { certificate: read(name), key: read(key) };
			throw new LamellaError(
				"ECONFIG",
				`${path.join(directory, name)} has no key: ${key} is missing beside it (a CA's file ends in .crt)`,
				{ path: path.join(directory, name) },
			);
		});
	return authorities.length + clients.length === 0 ? undefined : { authorities, clients, skipVerify: false };
}

/** What `read` gives, or `missing` where there is no such file or directory. */
function readOr<T>(place: string, read: () => T, ...missing: readonly T[]): T {
	try {
		return read();
	} catch (error) {
		const isMissing = ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
		if (isMissing && missing.length > 0) return missing[0] as T;
		throw new LamellaError("ECONFIG", `cannot read ${place}: ${(error as Error).message}`, {
			path: place,
			cause: error,
		});
	}
}
