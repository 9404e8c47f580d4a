/** Who asks a registry, where a command line says it in place of the stored credentials: `--username`, and the password piped in. */
import { LamellaError } from "../errors/index.ts";
import { type OptionSyntax, option } from "./syntax.ts";

export interface LoginOptions {
	readonly username?: string;
	readonly passwordStdin?: boolean;
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
