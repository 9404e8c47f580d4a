/** `lamella commit`: an image of a layer. */

import { type CommandModule, defineCommand } from "../command.ts";
import { imageJson } from "../json-shapes.ts";
import { collect, SKIP_UNSUPPORTED } from "../shared-options.ts";

interface Options {
	author?: string;
	message?: string;
	change?: string[];
	skipUnsupported?: boolean;
}

export const command: CommandModule = defineCommand<[layer: string, name: string | undefined], Options>({
	configure: (command) => {
		command
			.argument(
				"<layer>",
				"name of a writable layer, which stays as it is and may be mounted, or of a checkpoint",
			)
			.argument("[name]", "name of the image (default: only an id)")
			.option("-a, --author <text>", "who made it")
			.option("-m, --message <text>", "what was done")
			.option(
				"-c, --change <instruction>",
				"a Dockerfile instruction such as 'CMD [\"/bin/sh\"]' (repeatable)",
				collect,
			)
			.addOption(SKIP_UNSUPPORTED)
			.examples(["lamella commit web1 debian:demo2 -m 'vim added'", "an image of web1"]);
	},
	run: async (context, [layer, name], { author, message, change, skipUnsupported }) => {
		await using store = await context.openStore();
		const image = await context.withProgress((work) =>
			store.commit(layer, name, { author, message, changes: change, skipUnsupported, ...work }),
		);
		context.warn(image.warnings);
		if (context.json) context.printJson({ ...imageJson(image), warnings: image.warnings });
		else context.print(image.id);
	},
});
