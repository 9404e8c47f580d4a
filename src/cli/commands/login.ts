/** `lamella login`: credentials for a registry, stored where docker keeps them once the registry takes them. */
import { LamellaError } from "../../errors/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { forPeople } from "../output/text.ts";
import { CERTS_DIR, hostsFrom, type LoginOptions, loginFrom } from "../registry-login.ts";
import { parseRegistryName } from "../registry-name.ts";

export const command: CommandModule = defineCommand<[registry: string | undefined], LoginOptions>({
	configure: (command) => {
		command
			.argument("[registry]", "its host, with a port where it has one (default: docker.io)")
			.option("-u, --username <name>", "who logs in; asked for without it")
			.option("--password-stdin", "read the password from stdin; without it, it is asked for")
			.addOption(CERTS_DIR)
			.examples(
				["lamella login ghcr.io -u ann", "asks for the password"],
				["pass show ghcr | lamella login ghcr.io -u ann --password-stdin", "takes it from a pipe"],
			);
	},
	run: async (context, [word = "docker.io"], options) => {
		const registry = parseRegistryName(word);
		const piped = options.passwordStdin === true ? await loginFrom(options) : undefined;
		const { username, password } = piped ?? (await askWho(context, registry, options.username));
		if (username === "" || password === "") {
			throw new LamellaError("EINVALID", "an empty user name or password is none; nothing was stored");
		}
		if (username.includes(":")) throw new LamellaError("EINVALID", "a user name has no colon");
		const { checkLogin, storeLogin } = await import("../../registry/index.ts");
		await checkLogin(registry, { username, password }, { hosts: hostsFrom(options), signal: context.signal });
		const storedIn = await storeLogin(registry, username, password);
		if (context.json) context.printJson({ registry, username, storedIn });
		else
			context.note(
				`logged in to ${registry} as ${forPeople(username)}; the password is in ${forPeople(storedIn)}`,
			);
	},
});

/** @throws {LamellaError} `EINVALID` without a terminal, `EABORTED` */
async function askWho(
	context: CommandContext,
	registry: string,
	given: string | undefined,
): Promise<{ readonly username: string; readonly password: string }> {
	if (!process.stdin.isTTY) {
		throw new LamellaError(
			"EINVALID",
			"there is no terminal to ask at; give --username, and --password-stdin with the password piped in",
		);
	}
	const { askLine } = await import("../ask.ts");
	const username = given ?? (await askLine("User name: ", context.signal)).trim();
	const question = `Password of ${forPeople(username)} at ${registry}: `;
	return { username, password: await askLine(question, context.signal, { hidden: true }) };
}
