/** The exit codes of `lamella`: few, and a script can rely on them (docs/cli.md prints this table). */
import type { ErrorCode } from "../errors/index.ts";

export const EXIT = {
	ok: 0,
	failure: 1,
	usage: 2,
	notFound: 3,
	inTheWay: 4,
	/** `lamella check --repair`. */
	repaired: 5,
	/** `lamella run`: Lamella itself failed before the command ran, so that the command's own codes stay free. */
	runFailed: 125,
	/** `lamella run`, as a shell has them for a command that cannot be executed, or is not found. */
	notExecutable: 126,
	noCommand: 127,
	/** 128 + SIGINT. */
	interrupted: 130,
	/** 128 + SIGPIPE: the reader of our output went away. */
	brokenPipe: 141,
} as const;

/** What each exit code says, in the words of the documentation. */
export const EXIT_CODE_MEANINGS: readonly (readonly [code: number, meaning: string])[] = [
	[EXIT.ok, "it worked"],
	[EXIT.failure, "it failed; the line on stderr says why and what to do"],
	[EXIT.usage, "the command line or an option is wrong"],
	[EXIT.notFound, "there is no such layer, image or file"],
	[EXIT.inTheWay, "something is in the way: the name is taken, the layer is mounted, or others stand on it"],
	[EXIT.repaired, "`lamella check --repair` found damage, and repaired all of it"],
	[
		EXIT.runFailed,
		"`lamella run` failed before the command started (else the command's own code is given back)",
	],
	[EXIT.notExecutable, "`lamella run`: the command cannot be executed"],
	[EXIT.noCommand, "`lamella run`: the root has no such command"],
	[EXIT.interrupted, "interrupted (Ctrl-C); nothing partial was left behind"],
	[EXIT.brokenPipe, "the reader of the output went away"],
];

const BY_ERROR_CODE: Partial<Record<ErrorCode, number>> = {
	ECONFIG: EXIT.usage,
	EINVALID: EXIT.usage,
	ENOTFOUND: EXIT.notFound,
	EPLATFORM: EXIT.notFound,
	EBUSY: EXIT.inTheWay,
	EEXISTS: EXIT.inTheWay,
	EREFERENCED: EXIT.inTheWay,
	EABORTED: EXIT.interrupted,
};

/** The exit code for an error of that code. */
export function exitCodeFor(code: ErrorCode): number {
	return BY_ERROR_CODE[code] ?? EXIT.failure;
}
