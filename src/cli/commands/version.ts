/** `lamella version`: this program's version, and what it runs on. */
import { type CommandModule, defineCommand } from "../command.ts";
import { versionFacts, versionLine } from "../version.ts";

export const command: CommandModule = defineCommand<[]>({
	configure: () => undefined,
	run: async (context) => {
		const facts = versionFacts();
		if (context.json) context.printJson(facts);
		else context.print(context.globals.quiet === true ? facts.version : versionLine(facts));
	},
});
