/** `lamella rm`: removes layers. */
import { type CommandModule, defineCommand } from "../command.ts";
import { forEachName } from "../each-name.ts";

export const command: CommandModule = defineCommand<[layers: string[]], { force?: boolean }>({
	configure: (command) => {
		command
			.argument("<layers...>", "names of the layers")
			.option(
				"-f, --force",
				"unmount them first, whoever holds them; and take them from the engine they belong to",
			);
	},
	run: async (context, [names], { force = false }) => {
		await using store = await context.openStore();
		const removed: string[] = [];
		await forEachName(context, names, async (name) => {
			await store.remove(name, { force });
			removed.push(name);
			if (!context.json) context.print(name);
		});
		if (context.json) context.printJson({ removed });
	},
});
