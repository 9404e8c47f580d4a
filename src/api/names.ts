/** The names that people give to layers, and what to say when one is not found. */
import { isLamellaError, LamellaError } from "../errors/index.ts";
import { type LayerId, parseLayerId } from "../store/index.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const MAX_NAME_LENGTH = 128;

/**
 * A layer name that a person chose: letters, digits, `_`, `.` and `-`, beginning with a letter or digit, 128 at most
 * (the rule of container engines for container names).
 * @throws {LamellaError} `EINVALID`
 */
export function parseLayerName(text: string): LayerId {
	if (text === "") throw new LamellaError("EINVALID", "a layer needs a name; the one given is empty");
	if (text.length > MAX_NAME_LENGTH) {
		throw new LamellaError(
			"EINVALID",
			`a layer name may have ${MAX_NAME_LENGTH} characters at most; this one has ${text.length}`,
		);
	}
	if (!NAME.test(text)) {
		throw new LamellaError(
			"EINVALID",
			`${JSON.stringify(text)} cannot name a layer: use letters, digits, "_", "." and "-", beginning with a letter or digit`,
			{ layer: text },
		);
	}
	return text as LayerId;
}

/** A name as errors show it: in quotes, on one line, and not endless. */
export function quoted(name: string): string {
	return JSON.stringify(name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH)}…` : name);
}

/** Of a name that was not found: what keeps anything from having it, as words to go on with, or nothing. */
export function whyNot(name: string): string {
	try {
		parseLayerId(name);
		return "";
	} catch (error) {
		if (isLamellaError(error, "EINVALID")) return `, and nothing can be called that (${error.message})`;
		throw error;
	}
}
