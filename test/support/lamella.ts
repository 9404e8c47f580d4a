/** The built command line, as a user runs it. */
import path from "node:path";
import { type Output, run, runAsync } from "./processes.ts";

export const CLI: string = path.resolve(import.meta.dirname, "../../dist/bin/lamella.js");

/** Runs `lamella --root ROOT …` and gives its standard output; throws with what it said where it failed. */
export function lamella(root: string, ...args: string[]): string {
	return run(process.execPath, [CLI, "--root", root, ...args]).stdout;
}

/** The same, for calls that may fail. */
export function tryLamella(root: string, ...args: string[]): Output {
	return run(process.execPath, [CLI, "--root", root, ...args], { mayFail: true });
}

export interface AsyncOptions {
	/** Beside the environment of the tests. */
	readonly env?: Readonly<Record<string, string | undefined>>;
	readonly input?: string;
}

/** The same without blocking the event loop: for commands that ask a server of this process. */
export function tryLamellaAsync(
	root: string,
	args: readonly string[],
	options: AsyncOptions = {},
): Promise<Output> {
	return lamellaIn(root, args, options, true);
}

/** Gives its standard output, and throws with what it said where it failed. */
export async function lamellaAsync(
	root: string,
	args: readonly string[],
	options: AsyncOptions = {},
): Promise<string> {
	return (await lamellaIn(root, args, options, false)).stdout;
}

function lamellaIn(
	root: string,
	args: readonly string[],
	{ env, input = "" }: AsyncOptions,
	mayFail: boolean,
): Promise<Output> {
	const all = { ...process.env, ...env };
	return runAsync(process.execPath, [CLI, "--root", root, ...args], { env: all, input, mayFail });
}
