/** `lamella inspect`: all that is known of a layer or an image, as JSON. */

import { type CommandModule, defineCommand } from "../command.ts";
import { imageJson, layerJson } from "../json-shapes.ts";

export const command: CommandModule = defineCommand<[name: string]>({
	configure: (command) => {
		command.argument("<name>", "a layer, or the name or id of an image");
	},
	run: async (context, [name]) => {
		await using store = await context.openStore("looking");
		const found = store.inspect(name);
		if (found.type === "layer") {
			context.printJson({ type: "layer", ...layerJson(found.layer), chain: found.chain.map(({ id }) => id) });
		} else {
			const { image } = found;
			const manifest: unknown =
				image.manifestBytes === undefined ? null : JSON.parse(image.manifestBytes.toString("utf8"));
			context.printJson({
				type: "image",
				...imageJson(image),
				manifest,
				config: image.config,
			});
		}
	},
});
