/** `lamella create`: a writable layer (or a view) over an image, a layer or nothing. */

import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { LABEL } from "../shared-options.ts";

interface Options {
	view?: boolean;
	label?: Record<string, string>;
	mountLabel?: string;
}

export const command: CommandModule = defineCommand<[name: string, from: string | undefined], Options>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the new layer")
			.argument("[from]", "the image or committed layer it starts from (default: an empty root)")
			.option("--view", "make it read-only")
			.addOption(LABEL)
			.option("--mount-label <label>", "SELinux label of its mounts")
			.examples(["lamella create web1 debian:demo", "a writable root, in constant time"]);
	},
	run: async (context, [name, from], { view, label, mountLabel }) => {
		await using store = await context.openStore("making");
		const layer = await store.create(name, {
			from,
			kind: view === true ? "view" : "active",
			labels: label,
			mountLabel,
		});
		if (context.json) context.printJson(layerJson(layer));
		else context.print(layer.id);
	},
});
