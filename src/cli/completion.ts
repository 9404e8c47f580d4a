/**
 * Shell completion: `lamella completion SHELL` prints a script, which calls `lamella complete -- WORDS` at every
 * TAB. Loads every command, so it stands apart from program.ts.
 */
import addCompletion from "@bomb.sh/tab/commander";
import { CommanderError } from "commander";
import { EXIT } from "./exit-code.ts";
import { wholeProgram } from "./program.ts";

/** Answers `completion …` and `complete …`. @returns the exit code */
export async function complete(words: readonly string[]): Promise<number> {
	const program = await wholeProgram();
	addCompletion(program, { completionCommandName: "completion" });
	try {
		await program.parseAsync(words, { from: "user" });
		return EXIT.ok;
	} catch (error) {
		if (!(error instanceof CommanderError)) throw error;
		return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
	}
}
