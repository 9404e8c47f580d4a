/** Credentials from the files of docker and podman, and from the helpers that these name. The first file that has some counts. */
import { type AuthFile, entryFor, readAuthFile } from "./auth-file.ts";
import { authFiles, type Environment } from "./auth-places.ts";
import type { CredentialSource, Credentials } from "./contract.ts";
import { CredentialHelper } from "./helper.ts";
import { dockerKeyOf, isKeyOfHost, scopedKeys } from "./keys.ts";

/** Files are read at the first question, and helpers are asked once for each host. */
export function openCredentials(environment: Environment = process.env): CredentialSource {
	return new StoredCredentials(environment);
}

class StoredCredentials implements CredentialSource {
	readonly #environment: Environment;
	readonly #answers = new Map<string, Promise<Credentials | undefined>>();
	#files: readonly (readonly [file: string, content: AuthFile])[] | undefined;

	constructor(environment: Environment) {
		this.#environment = environment;
	}

	async credentialsFor(host: string, repository?: string): Promise<Credentials | undefined> {
		this.#files ??= authFiles(this.#environment).flatMap((file) => {
			const content = readAuthFile(file);
			return content === undefined ? [] : [[file, content] as const];
		});
		for (const [file, content] of this.#files) {
			const scoped = scopedKeys(host, repository).some((key) => content.auths?.[key] !== undefined);
			const helper = scoped ? undefined : helperFor(content, host);
			const found =
				(helper === undefined ? undefined : await this.#ask(helper, dockerKeyOf(host))) ??
				entryFor(file, content, host, repository);
			if (found !== undefined) return found;
		}
		return undefined;
	}

	#ask(name: string, server: string): Promise<Credentials | undefined> {
		const key = `${name} ${server}`;
		let answer = this.#answers.get(key);
		if (answer === undefined) {
			answer = new CredentialHelper(name).get(server);
			this.#answers.set(key, answer);
		}
		return answer;
	}
}

/** The helper that a file names for a host. */
export function helperFor({ credHelpers, credsStore }: AuthFile, host: string): string | undefined {
	const [, own] = Object.entries(credHelpers ?? {}).find(([key]) => isKeyOfHost(key, host)) ?? [];
	return own || credsStore || undefined;
}
