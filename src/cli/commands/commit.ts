/** `lamella commit`: an image of a writable layer. */

import { type CommandModule, defineCommand, examples } from "../command.ts";
import { imageJson } from "../json-shapes.ts";
import { showProgress } from "../layer-progress.ts";
import { skipUnsupportedOption } from "../skip-unsupported-option.ts";

interface Options {
	author?: string;
	message?: string;
	change?: string[];
	skipUnsupported?: boolean;
}

export const command: CommandModule = defineCommand<[layer: string, name: string | undefined], Options>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the writable layer; it stays as it is and may be mounted")
			.argument("[name]", "name of the image (default: only an id)")
			.option("-a, --author <text>", "who made it")
			.option("-m, --message <text>", "what was done")
			.option(
				"-c, --change <instruction>",
				"a Dockerfile instruction such as 'CMD [\"/bin/sh\"]' (repeatable)",
				collect,
			)
			.addOption(skipUnsupportedOption())
			.addHelpText(
				"after",
				examples(["lamella commit web1 debian:demo2 -m 'vim added'", "an image of web1"]),
			);
	},
	run: async (context, [layer, name], { author, message, change, skipUnsupported }) => {
		await using store = await context.openStore();
		const image = await (async () => {
			using board = await context.openProgress();
			return await store.commit(layer, name, {
				author,
				message,
				changes: change,
				skipUnsupported,
				signal: context.signal,
				onProgress: showProgress(board),
			});
		})();
		context.warn(image.warnings);
		if (context.json) context.printJson({ ...imageJson(image), warnings: image.warnings });
		else context.print(image.id);
	},
});

function collect(word: string, before: readonly string[] | undefined): string[] {
	return [...(before ?? []), word];
}
