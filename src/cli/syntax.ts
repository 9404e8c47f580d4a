/**
 * How a command is spelled, as data that the parser, the help and the completion read: its options, and its arguments by
 * their place. The parser is here, too.
 */
import { LamellaError, nearest } from "../errors/index.ts";

/** Makes an option's value of its word, and of the value that it has from before where it is given again. */
export type Collect<T> = (word: string, before: T | undefined) => T;

export interface OptionSyntax {
	/** As help shows it: `-o, --output <file>`. */
	readonly flags: string;
	readonly names: readonly string[];
	readonly description: string;
	/** What its value is (`file`); without one it is a switch. */
	readonly value: string | undefined;
	readonly choices: readonly string[] | undefined;
	readonly collect: Collect<unknown> | undefined;
}

export interface ArgumentSyntax {
	readonly name: string;
	readonly description: string;
	readonly required: boolean;
	readonly variadic: boolean;
	readonly choices: readonly string[] | undefined;
}

/** `extra` is what may be chosen from, or how several values are collected. */
export function option<T>(
	flags: string,
	description: string,
	extra?: readonly string[] | Collect<T>,
): OptionSyntax {
	return {
		flags,
		names: flags.replace(/ <.*/, "").split(", "),
		description,
		value: /<(.*)>/.exec(flags)?.[1],
		choices: typeof extra === "function" ? undefined : extra,
		collect: typeof extra === "function" ? (extra as Collect<unknown>) : undefined,
	};
}

/** Its name among a command's options: `wholeSeconds` for `--whole-seconds`, `trunc` for `--no-trunc`. */
export function keyOf({ names }: OptionSyntax): string {
	const long = (names.at(-1) ?? "").replace(/^--(no-)?/, "");
	return long.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** One command's arguments, options and help, as its file declares them. */
export class CommandSyntax {
	readonly arguments: ArgumentSyntax[] = [];
	readonly options: OptionSyntax[] = [];
	/** What stands for the arguments in the usage line, where they do not say it. */
	usageText: string | undefined;
	/** The end of the help: examples, and what else is to be known. */
	helpEnd = "";
	/** Whether all that follows the first argument belongs to another program. */
	passesThrough = false;

	/** `<name>` must be there, `[name]` may, and `...` at its end takes several. */
	argument(spelling: string, description: string, choices?: readonly string[]): this {
		const name = spelling.slice(1, -1).replace("...", "");
		const variadic = spelling.includes("...");
		this.arguments.push({ name, description, required: spelling.startsWith("<"), variadic, choices });
		return this;
	}

	option<T>(flags: string, description: string, extra?: readonly string[] | Collect<T>): this {
		return this.addOption(option(flags, description, extra));
	}

	addOption(added: OptionSyntax): this {
		this.options.push(added);
		return this;
	}

	usage(text: string): this {
		this.usageText = text;
		return this;
	}

	/** A paragraph behind the options. */
	helpText(text: string): this {
		this.helpEnd += `${this.helpEnd === "" ? "" : "\n"}\n${text}`;
		return this;
	}

	/** Command lines and what they are for, at the end of the help. */
	examples(...pairs: readonly (readonly [commandLine: string, purpose: string])[]): this {
		const width = Math.max(...pairs.map(([line]) => line.length));
		const lines = pairs.map(([line, purpose]) => `  ${line.padEnd(width)}  ${purpose}`);
		return this.helpText(`Examples:\n${lines.join("\n")}`);
	}

	passThroughOptions(): this {
		this.passesThrough = true;
		return this;
	}
}

export interface ReadWords {
	readonly options: Readonly<Record<string, unknown>>;
	readonly operands: readonly string[];
}

/**
 * Takes the options out of the words, up to `--`; with `untilOperand` only up to the first word that is not an option.
 * @throws {LamellaError} `EINVALID`
 */
export function readWords(
	words: readonly string[],
	known: readonly OptionSyntax[],
	untilOperand: boolean,
): ReadWords {
	const options: Record<string, unknown> = {};
	const operands: string[] = [];
	const rest = [...words];
	for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
		if (word === "--") {
			operands.push(...rest);
			break;
		}
		if (word === "-" || !word.startsWith("-")) {
			operands.push(word);
			if (!untilOperand) continue;
			operands.push(...rest);
			break;
		}
		const { name, attached, isCluster } = splitOption(word);
		const found = known.find(({ names }) => names.includes(name));
		if (found === undefined)
			throw unknown(
				"option",
				name,
				known.flatMap(({ names }) => names),
			);
		if (found.value === undefined) {
			if (attached !== undefined && !isCluster) throw wrong(`${name} takes no value`);
			if (attached !== undefined) rest.unshift(`-${attached}`);
			options[keyOf(found)] = !name.startsWith("--no-");
			continue;
		}
		const value = attached ?? rest.shift();
		if (value === undefined) throw wrong(`${name} needs a value: ${found.flags}`);
		checkChoice(name, value, found.choices);
		options[keyOf(found)] = found.collect?.(value, options[keyOf(found)]) ?? value;
	}
	return { options, operands };
}

/** `--name=value`, `-nvalue`, or several switches in one word: `-qf`. */
function splitOption(word: string): { name: string; attached: string | undefined; isCluster: boolean } {
	const equals = word.indexOf("=");
	if (!word.startsWith("--")) {
		return { name: word.slice(0, 2), attached: word.slice(2) || undefined, isCluster: true };
	}
	return equals === -1
		? { name: word, attached: undefined, isCluster: false }
		: { name: word.slice(0, equals), attached: word.slice(equals + 1), isCluster: false };
}

/**
 * The words by the arguments' places: a variadic one is a list, one that is missing is `undefined`.
 * @throws {LamellaError} `EINVALID`
 */
export function placeArguments(
	{ arguments: places }: CommandSyntax,
	operands: readonly string[],
): readonly unknown[] {
	const values = places.map(({ name, required, variadic, choices }, i) => {
		const given = variadic ? operands.slice(i) : operands.slice(i, i + 1);
		if (required && given.length === 0) throw wrong(`<${name}> is missing`);
		for (const word of given) checkChoice(`<${name}>`, word, choices);
		return variadic ? given : given[0];
	});
	const excess = operands[places.length];
	if (excess !== undefined && places.at(-1)?.variadic !== true) {
		throw wrong(`"${excess}" is one argument too many`);
	}
	return values;
}

function checkChoice(name: string, word: string, choices: readonly string[] | undefined): void {
	if (choices === undefined || choices.includes(word)) return;
	throw wrong(`${name} is one of ${choices.join(", ")}, not "${word}"`);
}

/** What to say of a word that is not known, with the one that may have been meant. */
export function unknown(what: string, word: string, candidates: readonly string[]): LamellaError {
	const meant = nearest(word, candidates);
	return wrong(`there is no ${what} ${word}${meant === undefined ? "" : `. Did you mean ${meant}?`}`);
}

function wrong(message: string): LamellaError {
	return new LamellaError("EINVALID", message);
}
