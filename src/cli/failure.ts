/** How a failure is told: `lamella: ` and what, which layer or path, and what to do; the rest with `--debug`. */
import { styleText } from "node:util";
import { type ErrorCode, isLamellaError } from "../errors/index.ts";
import type { GlobalOptions } from "./context.ts";
import { EXIT, exitCodeFor } from "./exit-code.ts";
import { stderr } from "./output/output.ts";
import { printableJson, withoutControls } from "./output/text.ts";

export interface Failure {
	readonly exitCode: number;
	/** Lines for stderr, safe for a terminal. */
	readonly text: string;
}

/** Puts `error` into words. `debug` adds the stack and the chain of causes. */
export function describeFailure(error: unknown, debug: boolean): Failure {
	const [first, ...later] = unfold(error);
	const text = [`lamella: ${message(first)}`];
	if (debug) text.push(...debugLines(first));
	else if (!isLamellaError(first) && !hasErrno(first)) {
		text.push("This is a fault in lamella itself; with --debug it shows where.");
	}
	for (const next of later) {
		text.push(`lamella: and after that: ${message(next)}`);
		if (debug) text.push(...debugLines(next));
	}
	return {
		exitCode: isLamellaError(first) ? exitCodeFor(first.code) : EXIT.failure,
		text: withoutControls(text.join("\n")),
	};
}

/** The same as one JSON document, for `--json`. What failed after it, while things were given back, is in `after`. */
export function failureAsJson(error: unknown, debug: boolean): object {
	const [first, ...later] = unfold(error).map((each) => ({
		...(isLamellaError(each)
			? { code: each.code, message: message(each), layer: each.layer, path: each.path }
			: { code: "EUNKNOWN", message: message(each) }),
		...(debug ? { debug: debugLines(each) } : {}),
	}));
	return { error: { ...first, ...(later.length > 0 ? { after: later } : {}) } };
}

/** Tells a failure on stderr. @returns the exit code */
export function tellFailure(error: unknown, { json = false, debug = false }: GlobalOptions): number {
	const { exitCode, text } = describeFailure(error, debug);
	const red = styleText(["bold", "red"], "lamella:", { stream: stderr.stream });
	stderr.write(
		json ? `${printableJson(failureAsJson(error, debug))}\n` : `${text.replace(/^lamella:/, red)}\n`,
	);
	return exitCode;
}

/** What `using` throws when work fails and then a disposal too: the failures in the order in which they happened. */
function unfold(error: unknown): readonly unknown[] {
	const later: unknown[] = [];
	let first = error;
	while (first instanceof SuppressedError) {
		later.unshift(first.error);
		first = first.suppressed;
	}
	return [first, ...later];
}

// Their messages say in words what the errno would.
const SAYS_IT_ALL: ReadonlySet<ErrorCode> = new Set(["EEXISTS", "ENOSPACE", "ENOTFOUND"]);

function message(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	const because = isLamellaError(error) ? causeInWords(error) : "";
	return error.message + because;
}

// A system call's reason ("EROFS: …") belongs into the line unless the message names it already.
function causeInWords(error: Error): string {
	const cause = error.cause;
	if (!(cause instanceof Error) || !hasErrno(cause) || error.message.includes(cause.code)) return "";
	if (isLamellaError(error) && SAYS_IT_ALL.has(error.code)) return "";
	return error.message.includes(cause.message) ? "" : ` (${cause.message})`;
}

function hasErrno(error: unknown): error is Error & { code: string } {
	return error instanceof Error && "code" in error && /^E[A-Z0-9]+$/.test(String(error.code));
}

function debugLines(error: unknown): string[] {
	const lines: string[] = [];
	const seen = new Set<unknown>();
	for (let e = error; e instanceof Error && !seen.has(e); e = e.cause) {
		seen.add(e);
		const code = "code" in e ? ` [${String(e.code)}]` : "";
		lines.push(`${e === error ? "" : "caused by "}${e.stack ?? String(e)}${code}`);
	}
	return lines;
}
