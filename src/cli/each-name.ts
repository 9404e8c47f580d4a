/** Commands that take several names: one that fails does not keep the others from being done. */
import type { CommandContext } from "./context.ts";
import { EXIT } from "./exit-code.ts";
import { tellFailure } from "./failure.ts";

/**
 * Does `work` for every name in turn, and tells each failure on stderr as it comes. The exit code
 * is that of the first failure.
 */
export async function forEachName(
	context: CommandContext,
	names: readonly string[],
	work: (name: string) => Promise<void>,
): Promise<void> {
	for (const name of names) {
		try {
			await work(name);
		} catch (error) {
			const exitCode = tellFailure(error, context.globals);
			if (context.exitCode === EXIT.ok) context.exitCode = exitCode;
		}
	}
}
