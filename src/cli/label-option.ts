/** The repeatable option `--label KEY=VALUE`. */
import { LamellaError } from "../errors/index.ts";
import { type OptionSyntax, option } from "./syntax.ts";

/** An option that collects labels into a record. */
export function labelOption(): OptionSyntax {
	return option("-l, --label <key=value>", "keep a label with it (repeatable)", addLabel);
}

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
