/** `lamella check`: whether layers are still what came in. */
import { LamellaError } from "../../errors/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { counted } from "../output/amounts.ts";
import { forPeople, withoutControls } from "../output/text.ts";

export const command: CommandModule = defineCommand<[names: string[]]>({
	configure: (command) => {
		command
			.argument("[name...]", "layers, or images for all their layers (default: every committed layer)")
			.helpText(
				"Reads every byte of packed layers and compares digests, index and image. A layer that is a tree of files has nothing" +
					" to be compared with: it is counted, and only looked for.",
			);
	},
	run: async (context, [names]) => {
		await using store = await context.openStore();
		const layers = await store.check(names, { signal: context.signal });
		const damaged = layers.filter(({ problems }) => problems.length > 0);
		const unverified = layers.filter(({ isVerified }) => !isVerified).length;
		if (context.json) context.printJson({ checked: layers.length, unverified, damaged });
		else {
			for (const { layer, problems } of damaged)
				context.print(...problems.map((problem) => `${forPeople(layer)}: ${withoutControls(problem)}`));
			const trees =
				unverified === 0 ? "" : `, of which ${unverified} are trees, with nothing to compare them with`;
			context.note(`${counted(layers.length, "layer")} checked${trees}`);
		}
		if (damaged.length === 0) return;
		throw new LamellaError(
			"ECORRUPT",
			`${counted(damaged.length, "layer")} of ${layers.length} damaged; import their images again`,
		);
	},
});
