/** Standard input and output as places for archives: never a terminal, never mixed with `--json`. */
import { LamellaError } from "../errors/index.ts";
import type { CommandContext } from "./context.ts";
import { stdout } from "./output/output.ts";

/** A path, or stdin for `-`. @throws {LamellaError} `EINVALID` where stdin is a terminal */
export function inputFrom(word: string): string | NodeJS.ReadStream {
	if (word !== "-") return word;
	if (process.stdin.isTTY) {
		throw new LamellaError("EINVALID", "an archive cannot be typed; pipe it in, or give the path of a file");
	}
	return process.stdin;
}

/** @throws {LamellaError} `EINVALID` where stdout is a terminal or has to carry JSON */
export function checkStdoutTakesBytes(context: CommandContext, remedy: string): void {
	if (stdout.stream.isTTY) {
		throw new LamellaError("EINVALID", `an archive is not for a terminal; ${remedy}`);
	}
	if (context.json) {
		throw new LamellaError("EINVALID", `stdout cannot carry both an archive and --json; ${remedy}`);
	}
}
