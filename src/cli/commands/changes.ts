/** `lamella changes`: what a layer changed, as A, C and D lines. */

import { type CommandModule, defineCommand } from "../command.ts";
import { changeJson } from "../json-shapes.ts";
import { stdout } from "../output/output.ts";
import { forPeople } from "../output/text.ts";

interface Options {
	against?: string;
	since?: string;
	null?: boolean;
}

export const command: CommandModule = defineCommand<[layer: string], Options>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the layer")
			.option("--against <layer>", "compare with this layer or image in place of its parent")
			.option("--since <checkpoint>", "the same, of a checkpoint")
			.option("-z, --null", "end each line with NUL, for names with line breaks")
			.helpText(
				"A is added, C is changed, D is deleted; in order of path. On a terminal, names are escaped (\\xNN).",
			)
			.examples(["lamella changes web1", "what was done in web1 since it was made"]);
	},
	run: async (context, [name], { against, since, null: nul }) => {
		await using store = await context.openStore();
		const changes = await store.changes(name, { against: against ?? since, signal: context.signal });
		if (context.json) return context.printJson(changes.map(changeJson));
		if (stdout.stream.isTTY && nul !== true) {
			return context.print(...changes.map(({ kind, path }) => `${kind} ${forPeople(path)}`));
		}
		const end = Buffer.from(nul === true ? "\0" : "\n");
		const lines = changes.flatMap(({ kind, path }) => [Buffer.from(`${kind} `), path, end]);
		stdout.write(Buffer.concat(lines));
	},
});
