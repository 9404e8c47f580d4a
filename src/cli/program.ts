/** The command line as commander sees it: names, global options, help, usage errors. Runs one command. */
import { Command, CommanderError, Help, Option } from "commander";
import type { CommandModule } from "./command.ts";
import { COMMAND_GROUPS, COMMANDS, type CommandEntry } from "./command-table.ts";
import { CommandContext, type GlobalOptions } from "./context.ts";
import { EXIT } from "./exit-code.ts";

const GLOBAL_HEADING = "Global options:";

function globalOptions(): Option[] {
	return [
		new Option("--root <dir>", "where the store is (else LAMELLA_ROOT, else /var/lib/lamella)"),
		new Option(
			"--driver <name>",
			"how layers become filesystems: overlay, or vfs for plain copies (default: overlay where it works)",
		),
		new Option(
			"--flatten <policy>",
			"when a chain of layers gets one root of hard links: always, auto, never (default: auto)",
		),
		new Option("--json", "print one JSON document on stdout"),
		new Option("-q, --quiet", "no progress and no notes; lists print ids only"),
		new Option("--no-trunc", "show ids whole"),
		new Option("--debug", "with an error, show where it came from"),
	].map((option) => option.helpGroup(GLOBAL_HEADING));
}

function bareProgram(): Command {
	const program = new Command("lamella")
		.description("A container layer store: images in, copy-on-write root filesystems out.")
		.usage("[options] COMMAND [arguments]")
		.enablePositionalOptions()
		.showSuggestionAfterError()
		.showHelpAfterError("lamella help lists the commands.")
		.addHelpCommand(
			new Command("help")
				.argument("[command]")
				.summary("show help for a command")
				.helpOption(false)
				.helpGroup("This program:"),
		)
		.configureHelp({
			formatHelp: (command, helper) => optionsLast(Help.prototype.formatHelp.call(helper, command, helper)),
		})
		.exitOverride()
		.configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "lamella: ")) })
		.addHelpText(
			"after",
			"\nCommands that use the store need root." +
				"\nlamella COMMAND --help shows a command's own options and examples." +
				"\nlamella completion bash|zsh|fish prints a completion script for the shell.",
		);
	for (const option of globalOptions()) program.addOption(option);
	return program;
}

/** Commander's help has the commands at the end, where a newcomer looks last. */
function optionsLast(help: string): string {
	const sections = help.trimEnd().split("\n\n");
	const last = sections.filter((section) => /^(Options|Global options):/.test(section));
	const globals = last.findIndex((section) => section.startsWith(GLOBAL_HEADING));
	if (globals !== -1) last.push(...last.splice(globals, 1));
	return `${[...sections.filter((section) => !last.includes(section)), ...last].join("\n\n")}\n`;
}

/** A command of which only the name and the summary are known, as help shows it. */
function addStub(program: Command, entry: CommandEntry, heading: string): Command {
	return program
		.command(entry.name)
		.summary(entry.summary)
		.description(`${entry.summary.charAt(0).toUpperCase()}${entry.summary.slice(1)}.`)
		.aliases(entry.aliases ?? [])
		.helpGroup(heading);
}

/** Gives a stub what its file says, and the global options. */
function fillIn(command: Command, module: CommandModule): void {
	module.configure(command);
	command.showHelpAfterError(`lamella ${command.name()} --help shows how it is used.`);
	for (const option of globalOptions()) command.addOption(option);
}

/** The whole program with every command loaded: for completion and for the documentation. */
export async function wholeProgram(): Promise<Command> {
	const program = bareProgram();
	for (const { title, commands } of COMMAND_GROUPS) {
		for (const entry of commands) fillIn(addStub(program, entry, title), (await entry.load()).command);
	}
	return program;
}

/**
 * Runs one command line (without node and script).
 * @returns the exit code; usage errors are printed and become 2
 * @throws what the command throws
 */
export async function runCommandLine(words: readonly string[], signal: AbortSignal): Promise<number> {
	const program = bareProgram();
	const wanted = calledCommand(words);
	let exitCode: number = EXIT.ok;
	for (const { title, commands } of COMMAND_GROUPS) {
		for (const entry of commands) {
			const command = addStub(program, entry, title);
			if (entry !== wanted) continue;
			const module = (await entry.load()).command;
			fillIn(command, module);
			command.action(async () => {
				const context = new CommandContext(globalsOf(program, command), signal);
				await module.run(context, command.processedArgs, command.opts());
				exitCode = context.exitCode;
			});
		}
	}
	try {
		await program.parseAsync(words, { from: "user" });
	} catch (error) {
		if (!(error instanceof CommanderError)) throw error;
		return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
	}
	return exitCode;
}

/** A global option counts wherever it stands; behind the command it wins. */
function globalsOf(program: Command, command: Command): GlobalOptions {
	const globals: Record<string, unknown> = {};
	for (const from of [program, command]) {
		for (const option of globalOptions()) {
			const key = option.attributeName();
			if (from.getOptionValueSource(key) === "cli") globals[key] = from.getOptionValue(key);
		}
	}
	return globals;
}

/**
 * Which command the words call: the first word that is neither an option nor an option's value; for
 * `help X` it is X, whose help is then shown.
 */
export function calledCommand(words: readonly string[]): CommandEntry | undefined {
	const takesValue = new Set(
		globalOptions()
			.filter((option) => option.required)
			.map((option) => option.long),
	);
	for (let i = 0; i < words.length; i++) {
		const word = words[i] ?? "";
		if (takesValue.has(word)) i++;
		else if (word === "help") continue;
		else if (!word.startsWith("-")) {
			return COMMANDS.find((entry) => entry.name === word || entry.aliases?.includes(word));
		}
	}
	return undefined;
}
