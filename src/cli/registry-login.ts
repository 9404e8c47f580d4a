/** Credentials from the command line in place of the stored ones: `--username`, and the password piped in. */
import type { RegistryAccess } from "../api/index.ts";
import { LamellaError } from "../errors/index.ts";
import { type OptionSyntax, option } from "./syntax.ts";

export interface LoginOptions extends HostsOptions {
	readonly username?: string;
	readonly passwordStdin?: boolean;
}

export interface HostsOptions {
	readonly certsDir?: string;
}

interface Login {
	readonly username: string;
	readonly password: string;
}

export const USERNAME: OptionSyntax = option("-u, --username <name>", "who asks the registry, once");
export const PASSWORD_STDIN: OptionSyntax = option(
	"--password-stdin",
	"read the password for --username from stdin",
);

export const CERTS_DIR: OptionSyntax = option(
	"--certs-dir <directory>",
	"where HOST/hosts.toml is (default: /etc/lamella/certs.d and others)",
);

/** For the library: credentials, and how hosts are reached. @throws {LamellaError} `EINVALID` */
export async function accessFrom(options: LoginOptions): Promise<RegistryAccess> {
	return { auth: await loginFrom(options), hosts: hostsFrom(options) };
}

export function hostsFrom({ certsDir }: HostsOptions): RegistryAccess["hosts"] {
	if (certsDir === "") throw new LamellaError("EINVALID", "--certs-dir is empty; name a directory");
	return certsDir === undefined ? undefined : { certsDirectories: [certsDir] };
}

/** @throws {LamellaError} `EINVALID` where only one of both is given */
export async function loginFrom({
	username,
	passwordStdin = false,
}: LoginOptions): Promise<Login | undefined> {
	if (username === undefined && !passwordStdin) return undefined;
	if (username === undefined) throw new LamellaError("EINVALID", "--password-stdin needs --username");
	if (!passwordStdin) {
		throw new LamellaError(
			"EINVALID",
			"--username needs --password-stdin, with the password piped in; or log in once: lamella login",
		);
	}
	const { readSecretFromStdin } = await import("./ask.ts");
	return { username, password: await readSecretFromStdin("--password-stdin") };
}
