/** The built command line, as a user runs it. */
import path from "node:path";
import { type Output, run } from "./processes.ts";

export const CLI: string = path.resolve(import.meta.dirname, "../../dist/bin/lamella.js");

/** Runs `lamella --root ROOT …` and gives its standard output; throws with what it said where it failed. */
export function lamella(root: string, ...args: string[]): string {
	return run(process.execPath, [CLI, "--root", root, ...args]).stdout;
}

/** The same, for calls that may fail. */
export function tryLamella(root: string, ...args: string[]): Output {
	return run(process.execPath, [CLI, "--root", root, ...args], { mayFail: true });
}
