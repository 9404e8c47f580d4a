/** `lamella status`: what the store is, what it stands on, how much it holds. */
import { type CommandModule, defineCommand } from "../command.ts";
import { forPeople, withoutControls } from "../output/text.ts";

export const command: CommandModule = defineCommand<[]>({
	configure: () => undefined,
	run: async (context) => {
		await using store = await context.openStore();
		const { root, driver, flattenPolicy, layers, mounted, images, details } = store.status();
		if (context.json) {
			const rows = details.map(([key, value]) => ({ key, value }));
			return context.printJson({ root, driver, flattenPolicy, layers, mounted, images, details: rows });
		}
		const { active, view, committed } = layers;
		const pairs: (readonly [string, string])[] = [
			["Root", forPeople(root)],
			["Driver", driver],
			["Flatten policy", flattenPolicy],
			["Images", String(images)],
			["Layers", `${committed} committed, ${active} writable, ${view} views`],
			["Mounted", String(mounted)],
			...details.map(([key, value]) => [key, withoutControls(value)] as const),
		];
		const width = Math.max(...pairs.map(([key]) => key.length));
		context.print(...pairs.map(([key, value]) => `${`${key}:`.padEnd(width + 1)}  ${value}`));
	},
});
