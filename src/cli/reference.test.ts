/** Keeps docs/commands.md as the commands say it; `npx vitest run src/cli/reference -u` writes it anew. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { COMMAND_GROUPS } from "./command-table.ts";
import { EXIT_CODE_MEANINGS } from "./exit-code.ts";
import { commandHelp, programHelp } from "./help.ts";
import { GLOBAL_OPTIONS, syntaxOf } from "./program.ts";

const GLOBAL_SECTION = /\n\nGlobal options:\n(?: .*\n?)*/;
const FRAME = { globals: GLOBAL_OPTIONS, columns: 100 };

test("docs/commands.md is what --help says", async () => {
	const page = [
		"# Commands",
		"This page is made from the program itself. [cli.md](cli.md) tells how the commands go together, what the exit codes mean and what `--json` prints.",
		"## Options of every command",
		block(GLOBAL_SECTION.exec(programHelp(FRAME))?.[0].trim() ?? ""),
	];
	for (const { title, commands } of COMMAND_GROUPS) {
		page.push(`## ${title.replace(":", "")}`);
		for (const entry of commands) {
			const help = commandHelp(entry, await syntaxOf(entry), FRAME);
			page.push(`### lamella ${entry.name}`, block(help.replace(GLOBAL_SECTION, "\n").trimEnd()));
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
