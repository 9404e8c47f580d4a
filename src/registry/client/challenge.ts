/** What a registry wants to be shown: the WWW-Authenticate header. Source: RFC 9110, 11.6.1; distribution's token specification. */

export interface Challenge {
	/** In lower case: `bearer`, `basic`. */
	readonly scheme: string;
	/** Names in lower case. */
	readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const SPACE = /[ \t]*/y;

/** All challenges of the header's values; what cannot be read ends the list. */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
	const values = header === undefined ? [] : typeof header === "string" ? [header] : header;
	return values.flatMap(parseOne);
}

function parseOne(text: string): readonly Challenge[] {
	const found: Challenge[] = [];
	let at = 0;
	const take = (pattern: RegExp): RegExpExecArray | undefined => {
		pattern.lastIndex = at;
		const match = pattern.exec(text);
		if (match === null) return undefined;
		at = pattern.lastIndex;
		return match;
	};
	const passOver = (): void => {
		while (at < text.length && /[ \t,]/.test(text[at] ?? "")) at += 1;
	};
	let parameters: Record<string, string> | undefined;
	for (passOver(); at < text.length; passOver()) {
		const word = take(TOKEN)?.[0];
		if (word === undefined) break;
		const afterWord = at;
		take(SPACE);
		if (text[at] === "=" && parameters !== undefined) {
			at += 1;
			take(SPACE);
			const quoted = take(QUOTED)?.[1];
			const value = quoted === undefined ? take(TOKEN)?.[0] : quoted.replace(/\\(.)/g, "$1");
			if (value === undefined) break;
			parameters[word.toLowerCase()] ??= value;
			continue;
		}
		parameters = {};
		found.push({ scheme: word.toLowerCase(), parameters });
		// `Negotiate YII=`: no parameters, and nothing that is answered here.
		if (at > afterWord) take(TOKEN68);
	}
	return found;
}
