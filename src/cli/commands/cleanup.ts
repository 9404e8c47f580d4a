/** `lamella cleanup`: deletes what stopped and killed processes left in staging and trash. */
import { type CommandModule, defineCommand } from "../command.ts";

export const command: CommandModule = defineCommand<[]>({
	configure: (command) =>
		void command.addHelpText(
			"after",
			"\nEvery command does this when it opens the store; this one does nothing else.",
		),
	run: async (context) => {
		await using store = await context.openStore();
		await store.cleanup();
		if (context.json) context.printJson({ cleaned: true });
	},
});
