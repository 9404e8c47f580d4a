/** `lamella serve`: the store behind dockerd or containerd. */
import { LamellaError } from "../../errors/index.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand<[protocol: string]>({
	configure: (command) => {
		command.argument("<protocol>", "docker or containerd");
	},
	run: async (_context, [protocol]) => {
		throw new LamellaError("ENOTSUPPORTED", `this build cannot serve ${protocol} yet`);
	},
});
