/** `lamella unmount`: gives one hold of a layer's mount back. */
import { type CommandModule, defineCommand } from "../command.ts";
import { forEachName } from "../each-name.ts";

export const command: CommandModule = defineCommand<[layers: string[]], { force?: boolean }>({
	configure: (command) => {
		command
			.argument("<layers...>", "names of the layers")
			.option("-f, --force", "unmount it whoever else holds it");
	},
	run: async (context, [names], { force = false }) => {
		await using store = await context.openStore();
		const mountCounts: { layer: string; mountCount: number }[] = [];
		await forEachName(context, names, async (name) => {
			await store.unmount(name, { force });
			const { mountCount } = store.layer(name);
			mountCounts.push({ layer: name, mountCount });
			if (mountCount > 0 && !context.json)
				context.note(`${name} is still mounted, held ${mountCount} times more`);
		});
		if (context.json) context.printJson(mountCounts);
	},
});
