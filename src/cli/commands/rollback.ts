/** `lamella rollback`: a writable layer is again what it was. */

import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { forPeople } from "../output/text.ts";

export const command: CommandModule = defineCommand<
	[layer: string, checkpoint: string | undefined],
	{ keep?: string }
>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the writable layer; it may be mounted, and stays at the same path")
			.argument("[checkpoint]", "one of its checkpoints (default: the last one)")
			.option("--keep <name>", "keep what the layer has now as a checkpoint of this name")
			.helpText("Later checkpoints that have no name of their own and no forks go.")
			.examples(["lamella rollback web1 before-upgrade", "as if nothing had happened since"]);
	},
	run: async (context, [name, to], { keep }) => {
		await using store = await context.openStore();
		const layer = await store.rollback(name, { to, keep, signal: context.signal });
		if (context.json) context.printJson(layerJson(layer));
		else context.note(`${forPeople(name)} is as at ${forPeople(layer.parent ?? "the beginning")}`);
	},
});
