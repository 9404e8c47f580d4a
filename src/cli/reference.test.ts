/** Keeps docs/commands.md as the commands say it; `npx vitest run src/cli/reference -u` writes it anew. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { COMMAND_GROUPS } from "./command-table.ts";
import { EXIT_CODE_MEANINGS } from "./exit-code.ts";
import { wholeProgram } from "./program.ts";

const GLOBAL_SECTION = /\n\nGlobal options:\n(?: .*\n?)*/;

test("docs/commands.md is what --help says", async () => {
	const program = await wholeProgram();
	const help = program.helpInformation();
	const page = [
		"# Commands",
		"This page is made from the program itself. [cli.md](cli.md) tells how the commands go together, what the exit codes mean and what `--json` prints.",
		"## Options of every command",
		block(GLOBAL_SECTION.exec(help)?.[0].trim() ?? ""),
	];
	for (const { title, commands } of COMMAND_GROUPS) {
		page.push(`## ${title.replace(":", "")}`);
		for (const { name } of commands) {
			const command = program.commands.find((candidate) => candidate.name() === name);
			let text = "";
			command?.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
			page.push(`### lamella ${name}`, block(text.replace(GLOBAL_SECTION, "\n").trimEnd()));
		}
	}
	await expect(`${page.join("\n\n")}\n`).toMatchFileSnapshot("../../docs/commands.md");
});

test("docs/cli.md has every exit code with its meaning", () => {
	const page = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");
	for (const [code, meaning] of EXIT_CODE_MEANINGS) expect(page).toContain(`| ${code} | ${meaning} |`);
});

function block(text: string): string {
	return `\`\`\`text\n${text}\n\`\`\``;
}
