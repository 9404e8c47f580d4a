/** `lamella apply`: a committed layer from a layer tar. */

import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { LABEL } from "../shared-options.ts";
import { inputFrom } from "../streams.ts";

interface Options {
	parent?: string;
	label?: Record<string, string>;
}

export const command: CommandModule = defineCommand<[name: string, tar: string], Options>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the new committed layer")
			.argument("<tar>", "the layer tar, plain, gzip or zstd; - for stdin")
			.option("-p, --parent <layer>", "the image or committed layer it goes over")
			.addOption(LABEL)
			.examples(["lamella apply base rootfs.tar.gz", "any root filesystem's tar will do"]);
	},
	run: async (context, [name, tar], { parent, label }) => {
		const input = inputFrom(tar);
		await using store = await context.openStore("making");
		const layer = await context.withProgress((work) =>
			store.applyLayer(input, { name, parent, labels: label, ...work }),
		);
		context.warn(layer.warnings);
		if (context.json) context.printJson({ ...layerJson(layer), warnings: layer.warnings });
		else context.print(layer.id);
	},
});
