/**
 * Puts credentials where `openCredentials` finds them, and takes them away: $REGISTRY_AUTH_FILE where it is set, else docker's
 * config.json; in the helper that this file names for the host, where it names one.
 */
import { entryFor, entryOf, readAuthFile, replaceEntry } from "./auth-file.ts";
import { authFiles, type Environment } from "./auth-places.ts";
import { helperFor } from "./credential-source.ts";
import { CredentialHelper } from "./helper.ts";
import { dockerKeyOf } from "./keys.ts";

/** @returns where the password went: a file, or a helper. @throws {LamellaError} `ECONFIG` */
export async function storeLogin(
	host: string,
	username: string,
	password: string,
	environment: Environment = process.env,
): Promise<string> {
	const [file] = authFiles(environment);
	const name = helperFor(readAuthFile(file) ?? {}, host);
	if (name === undefined) {
		replaceEntry(file, host, entryOf({ username, password }));
		return file;
	}
	const helper = new CredentialHelper(name);
	await helper.store(dockerKeyOf(host), username, password);
	// docker lists what it is logged in to by empty entries.
	replaceEntry(file, host, {});
	return helper.program;
}

export interface RemovedLogin {
	/** The files and helpers that had something. */
	readonly from: readonly string[];
	/** Podman's files that still have something, and are podman's to change. */
	readonly left: readonly string[];
}

/** @throws {LamellaError} `ECONFIG` */
export async function removeLogin(
	host: string,
	environment: Environment = process.env,
): Promise<RemovedLogin> {
	const [file, ...others] = authFiles(environment);
	const name = helperFor(readAuthFile(file) ?? {}, host);
	const from: string[] = [];
	if (name !== undefined) {
		const helper = new CredentialHelper(name);
		if (await helper.erase(dockerKeyOf(host))) from.push(helper.program);
	}
	if (replaceEntry(file, host, undefined)) from.push(file);
	const left = others.filter((other) => {
		const content = readAuthFile(other);
		return content !== undefined && entryFor(other, content, host, undefined) !== undefined;
	});
	return { from, left };
}
