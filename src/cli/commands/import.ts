/** `lamella import`: images from an archive, a layout directory or stdin. */

import { type CommandModule, defineCommand } from "../command.ts";
import { imageJson } from "../json-shapes.ts";
import { counted, humanDuration, humanSize } from "../output/amounts.ts";
import { forPeople, shortDigest } from "../output/text.ts";
import { inputFrom } from "../streams.ts";

export const command: CommandModule = defineCommand<[source: string], { name?: string; select?: string }>({
	configure: (command) => {
		command
			.argument("<source>", "a docker-save archive, an OCI archive, an OCI layout directory, or - for stdin")
			.option("-n, --name <name>", "name the image so, in place of the archive's own names")
			.option("--select <name>", "of several images in the archive, take the one of that name or digest")
			.examples(
				["lamella import debian.tar --name debian:demo", "archives may be gzip or zstd"],
				["docker save debian | lamella import -", "straight from dockerd"],
			);
	},
	run: async (context, [source], { name, select }) => {
		const startMs = performance.now();
		const input = inputFrom(source);
		await using store = await context.openStore("making");
		const images = await context.withProgress((work) => store.importImage(input, { name, select, ...work }));
		for (const { warnings } of images) context.warn(warnings);
		if (context.json) {
			context.printJson(images.map((image) => ({ ...imageJson(image), warnings: image.warnings })));
			return;
		}
		for (const image of images) {
			if (context.globals.quiet === true) context.print(image.id);
			else {
				const id = context.whole ? image.id : shortDigest(image.id);
				const names = image.names.map((each) => forPeople(each)).join(", ") || "(no name)";
				context.print(
					`${names}  ${id}  ${counted(image.layers.length, "layer")}, ${humanSize(image.sizeBytes)}`,
				);
			}
		}
		context.note(`imported in ${humanDuration(performance.now() - startMs)}`);
	},
});
