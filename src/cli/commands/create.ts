/** `lamella create`: a writable layer (or a view) over an image, a layer or nothing. */

import type { PullPolicy } from "../../api/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { LABEL, PULL } from "../shared-options.ts";

interface Options {
	view?: boolean;
	label?: Record<string, string>;
	mountLabel?: string;
	pull?: PullPolicy;
}

export const command: CommandModule = defineCommand<[name: string, from: string | undefined], Options>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the new layer")
			.argument("[from]", "the image or committed layer it starts from (default: an empty root)")
			.option("--view", "make it read-only")
			.addOption(PULL)
			.addOption(LABEL)
			.option("--mount-label <label>", "SELinux label of its mounts")
			.examples(
				["lamella create web1 debian:demo", "a writable root, in constant time"],
				["lamella create --pull missing web1 debian:12", "and the image from its registry first"],
			);
	},
	run: async (context, [name, from], { view, label, mountLabel, pull }) => {
		await using store = await context.openStore("making");
		const options = {
			from,
			kind: view === true ? "view" : "active",
			labels: label,
			mountLabel,
			pull,
		} as const;
		const layer =
			pull === undefined || pull === "never"
				? await store.create(name, options)
				: await context.withProgress((work) => store.create(name, { ...options, ...work }));
		if (context.json) context.printJson(layerJson(layer));
		else context.print(layer.id);
	},
});
