/** A file in commands/: how one command is spelled, and what it prints. */
import type { CommandContext } from "./context.ts";
import type { CommandSyntax } from "./syntax.ts";

export interface CommandModule {
	/** Adds arguments, options and examples; name, summary and global options are there already. */
	configure(command: CommandSyntax): void;
	/**
	 * Runs it. `args` and `options` are what the parser made of the command line.
	 * An exit code other than 0 goes into `context.exitCode`.
	 */
	run(
		context: CommandContext,
		args: readonly unknown[],
		options: Readonly<Record<string, unknown>>,
	): Promise<void>;
}

/** Gives a command's arguments and options the types that its `configure` declares. */
export function defineCommand<Args extends readonly unknown[], Options extends object = object>(command: {
	configure(command: CommandSyntax): void;
	run(context: CommandContext, args: Args, options: Readonly<Options>): Promise<void>;
}): CommandModule {
	return {
		configure: command.configure,
		// The parser has checked that the arguments and options are those that `configure` declared.
		run: (context, args, options) =>
			command.run(context, args as unknown as Args, options as unknown as Options),
	};
}
