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

/** The candidate that is most like `text`, where one is near enough to be meant. */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
	const limit = Math.max(1, Math.ceil(text.length / 3));
	let best: string | undefined;
	let bestDistance = limit + 1;
	for (const candidate of candidates) {
		if (Math.abs(candidate.length - text.length) >= bestDistance) continue;
		const distance = editDistance(text, candidate);
		if (distance < bestDistance) {
			best = candidate;
			bestDistance = distance;
		}
	}
	return best;
}

/** Levenshtein's distance: how many characters must be put in, taken out or changed. */
function editDistance(a: string, b: string): number {
	let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const row = [i];
		for (let j = 1; j <= b.length; j++) {
			const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
			row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
		}
		previous = row;
	}
	return previous[b.length] ?? 0;
}
