/** `lamella run`: a command in a layer, for trying things. */
import { LamellaError } from "../../errors/index.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand<[words: string[]]>({
	configure: (command) => {
		command.argument("<words...>", "the layer, and the command to run in it").passThroughOptions();
	},
	run: async () => {
		throw new LamellaError(
			"ENOTSUPPORTED",
			"this build cannot run commands yet; mount the layer and use chroot",
		);
	},
});
