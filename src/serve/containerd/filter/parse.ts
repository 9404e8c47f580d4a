/**
 * containerd's filter language, as its clients send it with List:
 *
 *     selectors := selector ("," selector)*          all of them have to match
 *     selector  := field ("." field)* (operator value)?
 *     field     := [A-Za-z0-9_-]+ | quoted
 *     operator  := "==" | "!=" | "~=" | "@="         equal, not equal, regular expression, contains
 *     value     := [^\s,]+ | quoted
 *     quoted    := "…" with Go's escapes; a value of ~= also between / or |
 *
 * Without an operator a selector asks whether the field is there. Several filters are alternatives.
 */
import { RE2JS } from "re2js";
import { Scanner } from "./scanner.ts";
import { unquote } from "./unquote.ts";

/** What is looked at; `labels` by its keys, dots and all. */
export interface FilterSubject {
	readonly name: string;
	readonly parent: string;
	readonly kind: "active" | "view" | "committed";
	readonly labels: Readonly<Record<string, string>>;
}

/** Each character of a text can cost as many steps as the expression has; those that people write have tens. */
const EXPRESSION_STEPS_MAX = 10_000;
const EXPRESSION_CHARACTERS_MAX = 4096;

export type Matches = (subject: FilterSubject) => boolean;

/**
 * One function for a list of filters; an empty list, like an empty filter, matches everything.
 * @throws {LamellaError} `EINVALID`, with the place in the filter
 */
export function parseFilters(filters: readonly string[]): Matches {
	if (filters.length === 0) return () => true;
	const parsed = filters.map(parseFilter);
	return (subject) => parsed.some((matches) => matches(subject));
}

function parseFilter(text: string): Matches {
	if (text === "") return () => true;
	const scanner = new Scanner(text);
	const selectors = [parseSelector(scanner)];
	while (scanner.next !== "") {
		if (scanner.next !== ",") throw scanner.error(`unexpected input: ${scanner.next}`);
		scanner.scan();
		selectors.push(parseSelector(scanner));
	}
	return (subject) => selectors.every((matches) => matches(subject));
}

function parseSelector(scanner: Scanner): Matches {
	const path = [parseField(scanner)];
	while (scanner.next === ".") {
		scanner.scan();
		path.push(parseField(scanner));
	}
	const present: Matches = (subject) => fieldOf(subject, path) !== undefined;
	if (scanner.next === "" || scanner.next === ",") return present;
	const operator = scanner.scan();
	if (operator.type !== "operator") throw scanner.error('expected an operator ("==", "!=", "~=" or "@=")');
	const value = parseValue(scanner, operator.text === "~=");
	switch (operator.text) {
		case "==":
			return (subject) => fieldOf(subject, path) === value;
		case "!=":
			return (subject) => (fieldOf(subject, path) ?? "") !== value;
		case "@=":
			return (subject) => (fieldOf(subject, path) ?? "").includes(value);
		case "~=": {
			const expression = compile(scanner, value);
			// As in containerd, one that cannot be compiled matches nothing.
			return (subject) => expression?.test(fieldOf(subject, path) ?? "") === true;
		}
		default:
			throw scanner.error(`unsupported operator "${operator.text}"`);
	}
}

/** RE2's own syntax and guarantee, as in Go: the time goes with the length of the text, whatever the expression. */
function compile(scanner: Scanner, expression: string): RE2JS | undefined {
	let compiled: RE2JS | undefined;
	if (expression.length <= EXPRESSION_CHARACTERS_MAX) {
		try {
			compiled = RE2JS.compile(expression);
		} catch {
			return undefined;
		}
		if (compiled.programSize() <= EXPRESSION_STEPS_MAX) return compiled;
	}
	throw scanner.error("the regular expression is too large");
}

function parseField(scanner: Scanner): string {
	const token = scanner.scan();
	if (token.type === "field") return token.text;
	if (token.type === "quoted") return unquoted(scanner, token.text, false);
	throw scanner.error("expected a field or a quoted one");
}

function parseValue(scanner: Scanner, isExpression: boolean): string {
	const token = scanner.scan();
	if (token.type === "value" || token.type === "field") return token.text;
	if (token.type === "quoted") return unquoted(scanner, token.text, isExpression);
	throw scanner.error("expected a value or a quoted one");
}

function unquoted(scanner: Scanner, text: string, isExpression: boolean): string {
	if (!isExpression && !text.startsWith('"')) {
		throw scanner.error(`${text.slice(0, 1)} quotes only the value of ~=`);
	}
	const plain = unquote(text);
	if (plain === undefined) throw scanner.error("this is not a quoted text");
	return plain;
}

function fieldOf(subject: FilterSubject, [first, ...rest]: readonly string[]): string | undefined {
	switch (first) {
		case "name":
			return subject.name;
		case "parent":
			return subject.parent;
		case "kind":
			return subject.kind;
		case "labels": {
			const key = rest.join(".");
			return Object.hasOwn(subject.labels, key) ? subject.labels[key] : undefined;
		}
		default:
			return undefined;
	}
}
