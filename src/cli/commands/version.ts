/** `lamella version`: this program's version, and what it runs on. */
import { type CommandModule, defineCommand } from "../command.ts";

export const command: CommandModule = defineCommand<[]>({
	configure: () => undefined,
	run: async (context) => {
		const { versionFacts, versionLine } = await import("../version.ts");
		const facts = versionFacts();
		if (context.json) context.printJson(facts);
		else context.print(context.globals.quiet === true ? facts.version : versionLine(facts));
	},
});
