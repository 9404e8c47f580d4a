/** Options that several commands take. */
import { LamellaError } from "../errors/index.ts";
import { type OptionSyntax, option } from "./syntax.ts";

export const SKIP_UNSUPPORTED: OptionSyntax = option(
	"--skip-unsupported",
	"go on where a layer cannot say a change (to a file named .wh.*), with a warning",
);

export const PULL: OptionSyntax = option(
	"--pull <when>",
	"ask the image's registry for it: where it is not here, always, or never (default: never)",
	["missing", "always", "never"],
);

export const LABEL: OptionSyntax = option(
	"-l, --label <key=value>",
	"keep a label with it (repeatable)",
	addLabel,
);

/** @throws {LamellaError} `EINVALID` where there is no key */
export function addLabel(
	word: string,
	before: Readonly<Record<string, string>> | undefined,
): Record<string, string> {
	const equals = word.indexOf("=");
	const key = equals === -1 ? word : word.slice(0, equals);
	if (key === "") throw new LamellaError("EINVALID", `"${word}" is no label; a label is KEY=VALUE`);
	return { ...before, [key]: equals === -1 ? "" : word.slice(equals + 1) };
}

/** Collects the words of a repeatable option. */
export function collect(word: string, before: readonly string[] = []): string[] {
	return [...before, word];
}
