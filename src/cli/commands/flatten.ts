/** `lamella flatten`: one hard-linked root in place of a chain. */

import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { humanDuration } from "../output/amounts.ts";
import { forPeople } from "../output/text.ts";

export const command: CommandModule = defineCommand<[name: string]>({
	configure: (command) => {
		command
			.argument("<name>", "a committed layer, or an image for its top layer")
			.helpText(
				"Its mounts then need only that root, however deep the chain is. The files in it are hard links, so it takes little room." +
					" A layer that has a root already is left as it is.",
			);
	},
	run: async (context, [name]) => {
		const startMs = performance.now();
		await using store = await context.openStore();
		const found = store.inspect(name);
		const id = found.type === "layer" ? found.layer.id : found.image.layers.at(-1)?.layer;
		if (id === undefined)
			return context.note(`${forPeople(name)} has no layers; there is nothing to flatten`);
		const layer = await store.layerStore.flatten(id, { signal: context.signal });
		if (context.json) context.printJson(layerJson(layer));
		else context.note(`${forPeople(name)} flattened in ${humanDuration(performance.now() - startMs)}`);
	},
});
