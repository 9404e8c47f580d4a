/** The help of the program and of each command, as `--help` prints it and docs/commands.md has it. */
import { COMMAND_GROUPS, type CommandEntry } from "./command-table.ts";
import type { CommandSyntax, OptionSyntax } from "./syntax.ts";

type Row = readonly [term: string, description: string];

interface Section {
	readonly title: string;
	readonly rows: readonly Row[];
}

/** How the help is laid out, and what every command takes. */
export interface HelpFrame {
	readonly globals: readonly OptionSyntax[];
	/** Characters in a line. */
	readonly columns: number;
}

export function programHelp(frame: HelpFrame): string {
	const groups = COMMAND_GROUPS.map(({ title, commands }) => ({
		title,
		rows: commands.map(({ name, aliases, summary }): Row => [[name, ...aliases].join("|"), summary]),
	}));
	groups
		.at(-1)
		?.rows.push(
			["help [command]", "show help for a command"],
			["completion <shell>", "print a completion script for bash, zsh or fish"],
		);
	return page(
		"[options] COMMAND [arguments]",
		"A container layer store: images in, copy-on-write root filesystems out.",
		groups,
		`
Commands that use the store need root.
lamella COMMAND --help shows a command's own options and examples.`,
		frame,
	);
}

export function commandHelp(entry: CommandEntry, syntax: CommandSyntax, frame: HelpFrame): string {
	const { arguments: places, options, usageText, helpEnd } = syntax;
	const spelled = places.map(({ name, required, variadic }) => {
		const word = variadic ? `${name}...` : name;
		return required ? ` <${word}>` : ` [${word}]`;
	});
	return page(
		`${[entry.name, ...entry.aliases].join("|")} ${usageText ?? `[options]${spelled.join("")}`}`,
		`${entry.summary.charAt(0).toUpperCase()}${entry.summary.slice(1)}.`,
		[
			{
				title: "Arguments:",
				rows: places.map(({ name, description, choices }): Row => [name, described(description, choices)]),
			},
			{ title: "Options:", rows: options.map(optionRow) },
		],
		helpEnd,
		frame,
	);
}

function optionRow({ flags, description, choices }: OptionSyntax): Row {
	return [flags, described(description, choices)];
}

function described(description: string, choices: readonly string[] | undefined): string {
	return choices === undefined ? description : `${description} (one of ${choices.join(", ")})`;
}

function page(
	usage: string,
	description: string,
	sections: readonly Section[],
	ending: string,
	{ globals, columns }: HelpFrame,
): string {
	const all = [...sections, { title: "Global options:", rows: globals.map(optionRow) }];
	const width = Math.max(...all.flatMap(({ rows }) => rows.map(([term]) => term.length)));
	const texts = all
		.filter(({ rows }) => rows.length > 0)
		.map(({ title, rows }) =>
			[title, ...rows.flatMap(([term, text]) => hanging(term.padEnd(width), text, columns))].join("\n"),
		);
	return `${[`Usage: lamella ${usage}`, description, ...texts].join("\n\n")}\n${ending === "" ? "" : `${ending}\n`}`;
}

/** The description beside its term, broken at spaces. */
function hanging(term: string, text: string, columns: number): string[] {
	const room = Math.max(40, columns - term.length - 4);
	const lines = [""];
	for (const word of text.split(" ")) {
		const line = lines.at(-1) ?? "";
		if (line === "") lines[lines.length - 1] = word;
		else if (line.length + 1 + word.length <= room) lines[lines.length - 1] = `${line} ${word}`;
		else lines.push(word);
	}
	return lines.map((line, i) => `  ${i === 0 ? term : " ".repeat(term.length)}  ${line}`);
}
