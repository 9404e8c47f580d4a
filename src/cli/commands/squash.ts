/** `lamella squash`: one checkpoint in place of many. */

import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";

export const command: CommandModule = defineCommand<[layer: string]>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the writable layer")
			.helpText(
				"Its checkpoints become one, of the last one's name, which is printed. Those with a name of their own or forks stay" +
					" beside it. For a short history, and fewer layers in an image; speed needs it not.",
			);
	},
	run: async (context, [name]) => {
		await using store = await context.openStore();
		const squashed = await store.squash(name, { signal: context.signal });
		if (context.json) context.printJson(layerJson(squashed));
		else context.print(squashed.id);
	},
});
