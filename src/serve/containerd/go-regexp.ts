/** Regular expressions of Go (RE2) as JavaScript's. */

const POSIX_CLASSES: Readonly<Record<string, string>> = {
	alnum: "0-9A-Za-z",
	alpha: "A-Za-z",
	ascii: "\\x00-\\x7F",
	blank: "\\t ",
	cntrl: "\\x00-\\x1F\\x7F",
	digit: "0-9",
	graph: "!-~",
	lower: "a-z",
	print: " -~",
	punct: "!-\\/:-@[-`{-~",
	space: "\\t\\n\\v\\f\\r ",
	upper: "A-Z",
	word: "0-9A-Za-z_",
	xdigit: "0-9A-Fa-f",
};

/** Undefined where it cannot be compiled. Of Go's own syntax it takes `(?P<name>`, leading flags, `\A`, `\z`, `[:class:]`. */
export function goRegExp(expression: string): RegExp | undefined {
	const [flagged = "", flags = ""] = /^\(\?([ims]+)\)/.exec(expression) ?? [];
	const source = expression
		.slice(flagged.length)
		.replaceAll("(?P<", "(?<")
		.replace(/\[:(\^?)([a-z]+):\]/g, (whole, not: string, name: string) =>
			not === "" ? (POSIX_CLASSES[name] ?? whole) : whole,
		)
		.replace(/\\(.)/gs, (whole, letter: string) => ({ A: "^", z: "$" })[letter] ?? whole);
	try {
		return new RegExp(source, [...new Set(flags)].join(""));
	} catch {
		// Not an expression, or one that only Go knows.
		return undefined;
	}
}
