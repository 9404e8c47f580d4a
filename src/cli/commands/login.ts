/** `lamella login`: credentials for a registry, stored where docker keeps them once the registry takes them. */
import { LamellaError } from "../../errors/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { forPeople } from "../output/text.ts";
import { parseRegistryName } from "../registry-name.ts";

interface Options {
	username?: string;
	passwordStdin?: boolean;
}

export const command: CommandModule = defineCommand<[registry: string | undefined], Options>({
	configure: (command) => {
		command
			.argument("[registry]", "its host, with a port where it has one (default: docker.io)")
			.option("-u, --username <name>", "who logs in; asked for without it")
			.option("--password-stdin", "read the password from stdin; without it, it is asked for")
			.examples(
				["lamella login ghcr.io -u ann", "asks for the password"],
				["pass show ghcr | lamella login ghcr.io -u ann --password-stdin", "takes it from a pipe"],
			);
	},
	run: async (context, [word = "docker.io"], options) => {
		const registry = parseRegistryName(word);
		const { askLine, readSecretFromStdin } = await import("../ask.ts");
		const ask = async (question: string, hidden: boolean): Promise<string> => {
			if (process.stdin.isTTY) return await askLine(question, context.signal, { hidden });
			throw new LamellaError(
				"EINVALID",
				"there is no terminal to ask at; give --username, and --password-stdin with the password piped in",
			);
		};
		if (options.passwordStdin === true && options.username === undefined) {
			throw new LamellaError("EINVALID", "--password-stdin needs --username");
		}
		const username = options.username ?? (await ask("User name: ", false)).trim();
		const password =
			options.passwordStdin === true
				? await readSecretFromStdin("--password-stdin")
				: await ask(`Password of ${forPeople(username)} at ${registry}: `, true);
		if (username === "" || password === "") {
			throw new LamellaError("EINVALID", "an empty user name or password is none; nothing was stored");
		}
		if (username.includes(":")) throw new LamellaError("EINVALID", "a user name has no colon");
		const { checkLogin, storeLogin } = await import("../../registry/index.ts");
		await checkLogin(registry, { username, password }, { signal: context.signal });
		const storedIn = await storeLogin(registry, username, password);
		if (context.json) context.printJson({ registry, username, storedIn });
		else
			context.note(
				`logged in to ${registry} as ${forPeople(username)}; the password is in ${forPeople(storedIn)}`,
			);
	},
});
