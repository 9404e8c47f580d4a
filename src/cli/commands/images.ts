/** `lamella images`: the images, one row a name. */

import { type CommandModule, defineCommand } from "../command.ts";
import { imageJson } from "../json-shapes.ts";
import { age, humanSize } from "../output/amounts.ts";
import { forPeople, shortDigest } from "../output/text.ts";

export const command: CommandModule = defineCommand<[]>({
	configure: () => undefined,
	run: async (context) => {
		using reader = await context.openReader();
		const images = reader.images();
		if (context.json) return context.printJson(images.map(imageJson));
		if (context.globals.quiet === true) return context.print(...images.map(({ id }) => id));
		if (images.length === 0) {
			context.note("there are no images yet; lamella import IMAGE.tar brings one in");
			return;
		}
		const rows = images.flatMap((image) =>
			(image.names.length > 0 ? image.names : ["(no name)"]).map((name) => ({ image, name })),
		);
		context.printTable(
			[
				{ title: "NAME", cell: ({ name }) => forPeople(name) },
				{ title: "IMAGE ID", cell: ({ image }) => (context.whole ? image.id : shortDigest(image.id)) },
				{ title: "LAYERS", cell: ({ image }) => String(image.layers.length), align: "right" },
				{ title: "SIZE", cell: ({ image }) => humanSize(image.sizeBytes), align: "right" },
				{ title: "PLATFORM", cell: ({ image }) => forPeople(`${image.os}/${image.architecture}`) },
				{
					title: "CREATED",
					cell: ({ image }) => (image.createdAtMs === undefined ? "-" : age(image.createdAtMs)),
				},
			],
			rows,
		);
	},
});
