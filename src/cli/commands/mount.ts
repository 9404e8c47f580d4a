/** `lamella mount`: mounts a layer and prints the path, and only the path. */
import { type CommandModule, defineCommand } from "../command.ts";

export const command: CommandModule = defineCommand<[layer: string]>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the layer")
			.helpText("Mounts are counted: the second mount gives the same path, and the last unmount unmounts.")
			.examples(["root=$(lamella mount web1)", "where its files are, for a script"]);
	},
	run: async (context, [name]) => {
		await using store = await context.openStore();
		// Not disposed: it is to outlive this process, until `lamella unmount`.
		const mount = await store.mount(name, { signal: context.signal });
		if (context.json) context.printJson({ layer: name, path: mount.path });
		else context.print(mount.path);
	},
});
