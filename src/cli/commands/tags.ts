/** `lamella tags`: the tags of a repository in its registry. */

import { type CommandModule, defineCommand } from "../command.ts";
import { forPeople } from "../output/text.ts";
import { accessFrom, CERTS_DIR, type LoginOptions, PASSWORD_STDIN, USERNAME } from "../registry-login.ts";

export const command: CommandModule = defineCommand<[repository: string], LoginOptions>({
	configure: (command) => {
		command
			.argument("<repository>", "like debian, ghcr.io/group/app or localhost:5000/app")
			.addOption(USERNAME)
			.addOption(PASSWORD_STDIN)
			.addOption(CERTS_DIR)
			.examples(["lamella tags debian", "as docker's registry has them"]);
	},
	run: async (context, [repository], login) => {
		const { openRegistry } = await import("../../api/registry/index.ts");
		const tags = await openRegistry({ ...(await accessFrom(login)), signal: context.signal }).tags(
			repository,
		);
		if (context.json) context.printJson({ repository, tags });
		else context.print(...tags.map((tag) => forPeople(tag)));
	},
});
