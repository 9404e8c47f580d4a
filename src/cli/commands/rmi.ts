/** `lamella rmi`: takes names from images, and removes the images that have none left. */
import type { RemovedImage } from "../../api/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { forEachName } from "../each-name.ts";
import { counted } from "../output/amounts.ts";
import { forPeople } from "../output/text.ts";

export const command: CommandModule = defineCommand<[images: string[]]>({
	configure: (command) => {
		command
			.argument("<images...>", "names or ids of the images")
			.helpText("By name, the name goes, and the image with its last name. By id, the image goes.");
	},
	run: async (context, [references]) => {
		await using store = await context.openStore();
		const removed: RemovedImage[] = [];
		await forEachName(context, references, async (reference) => {
			const result = await store.removeImage(reference);
			removed.push(result);
			if (context.json) return;
			for (const name of result.names) context.print(`name ${forPeople(name)}`);
			if (result.image !== undefined) context.print(`image ${result.image}`);
			if (result.layers.length > 0)
				context.note(`${counted(result.layers.length, "layer")} that nothing else used`);
		});
		if (context.json) {
			context.printJson(removed.map(({ names, image, layers }) => ({ names, image: image ?? null, layers })));
		}
	},
});
