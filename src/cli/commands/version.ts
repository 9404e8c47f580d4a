/** `lamella version`: this program's version, and what it runs on. */
import { createRequire } from "node:module";
import { release } from "node:os";
import { type CommandModule, defineCommand } from "../command.ts";

/** The version in package.json. */
export function version(): string {
	// dist/cli/commands and src/cli/commands are equally far below it.
	return (createRequire(import.meta.url)("../../../package.json") as { version: string }).version;
}

export const command: CommandModule = defineCommand<[]>({
	configure: () => undefined,
	run: async (context) => {
		const facts = { version: version(), node: process.versions.node, kernel: release(), arch: process.arch };
		if (context.json) context.printJson(facts);
		else if (context.globals.quiet === true) context.print(facts.version);
		else context.print(`lamella ${facts.version} (Node ${facts.node}, Linux ${facts.kernel}, ${facts.arch})`);
	},
});
