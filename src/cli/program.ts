/** The command line as a whole: the options of every command, which command is called, and its run. */
import { isLamellaError, LamellaError } from "../errors/index.ts";
import { COMMANDS, type CommandEntry } from "./command-table.ts";
import { CommandContext, type GlobalOptions } from "./context.ts";
import { EXIT } from "./exit-code.ts";
import { stdout } from "./output/output.ts";
import { CommandSyntax, type OptionSyntax, option, placeArguments, readWords, unknown } from "./syntax.ts";

export const GLOBAL_OPTIONS: readonly OptionSyntax[] = [
	option("--root <dir>", "where the store is (else LAMELLA_ROOT, else /var/lib/lamella)"),
	option(
		"--driver <name>",
		"how layers become filesystems: packed, overlay, or vfs for plain copies (default: the first that works)",
	),
	option(
		"--flatten <policy>",
		"when a chain of layers gets one root of hard links: always, auto, never (default: auto)",
	),
	option("--json", "print one JSON document on stdout; an error is one on stderr"),
	option("-q, --quiet", "no progress and no notes; lists print ids only"),
	option("--no-trunc", "show ids whole"),
	option("--debug", "with an error, show where it came from"),
	option("-h, --help", "show help for the command"),
];

/** What the command's file says of its spelling. */
export async function syntaxOf(entry: CommandEntry): Promise<CommandSyntax> {
	const syntax = new CommandSyntax();
	(await entry.load()).command.configure(syntax);
	return syntax;
}

export function findCommand(word: string): CommandEntry | undefined {
	return COMMANDS.find(({ name, aliases }) => name === word || aliases.includes(word));
}

/**
 * Runs one command line (without node and script). A global option counts wherever it stands; behind the command it wins.
 * @returns the exit code
 * @throws what the command throws; {LamellaError} `EINVALID` for words that are no command line
 */
export async function runCommandLine(words: readonly string[], signal: AbortSignal): Promise<number> {
	const before = withHint("help lists the commands", () => readWords(words, GLOBAL_OPTIONS, true));
	const wantsHelp = before.operands[0] === "help" || before.options.help === true;
	const [name, ...own] = before.operands[0] === "help" ? before.operands.slice(1) : before.operands;
	const entry = withHint("help lists the commands", () => {
		if (name === undefined && !wantsHelp) throw new LamellaError("EINVALID", "no command is given");
		const found = name === undefined ? undefined : findCommand(name);
		if (name === undefined || found !== undefined) return found;
		const names = COMMANDS.flatMap((each) => [each.name, ...each.aliases]);
		throw unknown("command", name, names);
	});
	if (entry === undefined || wantsHelp) return showHelp(entry);
	const syntax = await syntaxOf(entry);
	const read = withHint(`${entry.name} --help shows how it is used`, () => {
		const known = [...syntax.options, ...GLOBAL_OPTIONS];
		const { options, operands } = readWords(own, known, syntax.passesThrough);
		return { options, args: options.help === true ? [] : placeArguments(syntax, operands) };
	});
	if (read.options.help === true) return showHelp(entry);
	const globals: GlobalOptions = { ...before.options, ...read.options };
	const context = new CommandContext(globals, signal);
	await (await entry.load()).command.run(context, read.args, read.options);
	return context.exitCode;
}

async function showHelp(entry: CommandEntry | undefined): Promise<number> {
	const { commandHelp, programHelp } = await import("./help.ts");
	const frame = { globals: GLOBAL_OPTIONS, columns: stdout.stream.columns ?? 80 };
	stdout.write(entry === undefined ? programHelp(frame) : commandHelp(entry, await syntaxOf(entry), frame));
	return EXIT.ok;
}

/** What the parser says is wrong, with where to look it up. */
function withHint<T>(hint: string, read: () => T): T {
	try {
		return read();
	} catch (error) {
		if (!isLamellaError(error, "EINVALID")) throw error;
		const { message } = error;
		throw new LamellaError("EINVALID", `${message}${message.endsWith("?") ? " " : "; "}lamella ${hint}`);
	}
}
