/** `lamella log`: the checkpoints of a layer. */

import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { age, humanSize } from "../output/amounts.ts";
import { forPeople } from "../output/text.ts";

export const command: CommandModule = defineCommand<[layer: string]>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the layer")
			.helpText("Newest first. ENTRIES and SIZE are of what was changed since the checkpoint before.");
	},
	run: async (context, [name]) => {
		using reader = await context.openReader();
		const checkpoints = reader.history(name);
		if (context.json) {
			const shown = checkpoints.map((one) => ({ ...layerJson(one), named: one.named, forks: one.forks }));
			return context.printJson(shown);
		}
		if (context.globals.quiet === true) return context.print(...checkpoints.map(({ id }) => forPeople(id)));
		if (checkpoints.length === 0) {
			return context.note(`${forPeople(name)} has no checkpoints yet; lamella checkpoint makes one`);
		}
		context.printTable(
			[
				{ title: "CHECKPOINT", cell: ({ id }) => forPeople(id) },
				{ title: "CREATED", cell: ({ createdAtNs }) => age(Number(createdAtNs / 1_000_000n)) },
				{
					title: "ENTRIES",
					cell: ({ usage }) => (usage === undefined ? "-" : String(usage.inodes)),
					align: "right",
				},
				{
					title: "SIZE",
					cell: ({ usage }) => (usage === undefined ? "-" : humanSize(usage.sizeBytes)),
					align: "right",
				},
				{ title: "FORKS", cell: ({ forks }) => (forks.length === 0 ? "-" : forks.map(forPeople).join(", ")) },
			],
			checkpoints,
		);
	},
});
