/** `lamella cleanup`: deletes what stopped and killed processes left, such as the layer of a killed `run`. */
import { type CommandModule, defineCommand } from "../command.ts";

export const command: CommandModule = defineCommand<[]>({
	configure: (command) =>
		void command.helpText(
			"Every command does this when it opens the store, but for what a killed `lamella run` left.",
		),
	run: async (context) => {
		await using store = await context.openStore();
		await store.cleanup();
		if (context.json) context.printJson({ cleaned: true });
	},
});
