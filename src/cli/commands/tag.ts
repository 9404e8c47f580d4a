/** `lamella tag`: one more name for an image. */

import { type CommandModule, defineCommand } from "../command.ts";
import { imageJson } from "../json-shapes.ts";

export const command: CommandModule = defineCommand<[image: string, name: string]>({
	configure: (command) => {
		command
			.argument("<image>", "name or id of the image")
			.argument("<name>", "its new name; another image that had it loses it");
	},
	run: async (context, [reference, name]) => {
		await using store = await context.openStore();
		const image = await store.tagImage(reference, name);
		if (context.json) context.printJson(imageJson(image));
	},
});
