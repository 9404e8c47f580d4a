/** `lamella checkpoint`: keeps where a writable layer is now. */

import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { LABEL } from "../shared-options.ts";

interface Options {
	live?: string;
	label?: Record<string, string>;
}

export const command: CommandModule = defineCommand<[layer: string, name: string | undefined], Options>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the writable layer; it may be mounted, and goes on at the same path")
			.argument("[name]", "name of the checkpoint (default: <layer>@<number>, which goes with the layer)")
			.option(
				"--live <cgroup>",
				"copy what the layer changed while the processes of this cgroup directory stand still",
			)
			.addOption(LABEL)
			.helpText(
				"Nothing is copied, whatever the layer's size. Where files are open for writing it says who has them open;" +
					" --live takes a checkpoint all the same.",
			)
			.examples(["lamella checkpoint web1 before-upgrade", "to come back to with lamella rollback"]);
	},
	run: async (context, [layer, as], { live, label }) => {
		await using store = await context.openStore();
		const { cgroupFreezer } = await import("../../api/index.ts");
		const freezer = live === undefined ? undefined : cgroupFreezer(live);
		const made = await store.checkpoint(layer, { as, live: freezer, labels: label, signal: context.signal });
		if (context.json) context.printJson(layerJson(made));
		else context.print(made.id);
	},
});
