/** `lamella fork`: new writable layers that start where another one is. */
import { LamellaError } from "../../errors/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { LABEL } from "../shared-options.ts";

interface Options {
	from?: string;
	count?: string;
	label?: Record<string, string>;
}

export const command: CommandModule = defineCommand<[layer: string, names: string[]], Options>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the layer to start from; a writable one goes on as it is")
			.argument("<names...>", "names of the new layers")
			.option("--from <checkpoint>", "start from this checkpoint in place of now")
			.option("--count <number>", "make so many of the one name given: NAME-1, NAME-2, …")
			.addOption(LABEL)
			.examples(["lamella fork web1 try --count 8", "eight layers that start where web1 is"]);
	},
	run: async (context, [layer, names], { from, count, label }) => {
		const all = count === undefined ? names : numbered(names, count);
		await using store = await context.openStore();
		const forks = await store.fork(layer, all, { from, labels: label, signal: context.signal });
		if (context.json) context.printJson(forks.map(layerJson));
		else context.print(...forks.map(({ id }) => id));
	},
});

/** @throws {LamellaError} `EINVALID` */
function numbered(names: readonly string[], text: string): string[] {
	const count = Number(text);
	const [name, ...more] = names;
	if (!Number.isSafeInteger(count) || count < 1 || count > 100_000) {
		throw new LamellaError("EINVALID", `--count ${text} is no number of layers; give one from 1 to 100000`);
	}
	if (name === undefined || more.length > 0) {
		throw new LamellaError("EINVALID", "--count numbers one name; give one, or leave --count out");
	}
	return Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
}
