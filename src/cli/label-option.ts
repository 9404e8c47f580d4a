/** The repeatable option `--label KEY=VALUE`. */
import { InvalidArgumentError, Option } from "commander";

/** An option that collects labels into a record. */
export function labelOption(): Option {
	return new Option("-l, --label <key=value>", "keep a label with it (repeatable)").argParser(addLabel);
}

/** @throws {InvalidArgumentError} where there is no key */
export function addLabel(
	word: string,
	before: Readonly<Record<string, string>> | undefined,
): Record<string, string> {
	const equals = word.indexOf("=");
	const key = equals === -1 ? word : word.slice(0, equals);
	if (key === "") throw new InvalidArgumentError("A label is KEY=VALUE.");
	return { ...before, [key]: equals === -1 ? "" : word.slice(equals + 1) };
}
