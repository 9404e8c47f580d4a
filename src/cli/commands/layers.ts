/** `lamella layers`: the layers, one row each. */

import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { age, humanSize } from "../output/amounts.ts";
import { forPeople, shortId } from "../output/text.ts";

export const command: CommandModule = defineCommand<[]>({
	configure: () => undefined,
	run: async (context) => {
		using reader = await context.openReader();
		const layers = reader.layers();
		if (context.json) return context.printJson(layers.map(layerJson));
		if (context.globals.quiet === true) return context.print(...layers.map(({ id }) => forPeople(id)));
		if (layers.length === 0) {
			context.note("there are no layers yet; lamella import IMAGE.tar brings some in");
			return;
		}
		const shown = (id: string) => forPeople(context.whole ? id : shortId(id));
		context.printTable(
			[
				{ title: "LAYER", cell: ({ id }) => shown(id) },
				{ title: "PARENT", cell: ({ parent }) => (parent === undefined ? "-" : shown(parent)) },
				{ title: "KIND", cell: ({ kind }) => kind },
				{
					title: "SIZE",
					cell: ({ usage }) => (usage === undefined ? "-" : humanSize(usage.sizeBytes)),
					align: "right",
				},
				{ title: "DEPTH", cell: ({ depth }) => String(depth), align: "right" },
				{ title: "ROOT", cell: ({ flattened }) => (flattened ? "flattened" : "-") },
				{ title: "MOUNTS", cell: ({ mountCount }) => String(mountCount), align: "right" },
				{ title: "CREATED", cell: ({ createdAtNs }) => age(Number(createdAtNs / 1_000_000n)) },
			],
			layers,
		);
	},
});
