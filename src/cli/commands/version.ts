/** `lamella version`: this program's version, and what it runs on. */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { type CommandModule, defineCommand } from "../command.ts";

/** The version in package.json. */
export function version(): string {
	// dist/cli/commands and src/cli/commands are equally far below it.
	const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
	return (JSON.parse(text) as { version: string }).version;
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
