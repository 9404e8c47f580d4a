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
import { LamellaError } from "../../errors/index.ts";
import { goRegExp } from "./go-regexp.ts";
import { unquote } from "./unquote.ts";

/** What is looked at; `labels` by its keys, dots and all. */
export interface FilterSubject {
	readonly name: string;
	readonly parent: string;
	readonly kind: "active" | "view" | "committed";
	readonly labels: Readonly<Record<string, string>>;
}

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
			const expression = goRegExp(value);
			// As in containerd, one that cannot be compiled matches nothing.
			return (subject) => expression?.test(fieldOf(subject, path) ?? "") === true;
		}
		default:
			throw scanner.error(`unsupported operator "${operator.text}"`);
	}
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

interface Token {
	readonly type: "field" | "value" | "quoted" | "separator" | "operator" | "illegal" | "end";
	readonly text: string;
}

const SPACE = /\s/u;
const FIELD = /[A-Za-z0-9_-]/;
const OPERATOR = /[=!~@]/;
const QUOTE = /["/|]/;
/** What Go calls graphic. */
const GRAPHIC = /[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]/u;

/** Tokens of one filter. After an operator nearly everything is a value, up to a space or a comma. */
class Scanner {
	readonly #characters: readonly string[];
	#at = 0;
	#start = 0;
	#afterOperator = false;

	constructor(text: string) {
		this.#characters = [...text];
	}

	/** The next character, "" at the end. */
	get next(): string {
		return this.#characters[this.#at] ?? "";
	}

	scan(): Token {
		while (this.next !== "" && SPACE.test(this.next)) this.#at++;
		this.#start = this.#at;
		const first = this.next;
		if (first === "") return { type: "end", text: "" };
		this.#at++;
		if (QUOTE.test(first)) return { type: this.#quoted(first) ? "quoted" : "illegal", text: this.#text() };
		if (first === "," || first === ".") {
			this.#afterOperator = false;
			return { type: "separator", text: first };
		}
		if (OPERATOR.test(first)) {
			while (OPERATOR.test(this.next)) this.#at++;
			this.#afterOperator = true;
			return { type: "operator", text: this.#text() };
		}
		if (this.#afterOperator) {
			this.#at--;
			while (this.next !== "," && !SPACE.test(this.next) && GRAPHIC.test(this.next)) this.#at++;
			this.#afterOperator = false;
			if (this.#at === this.#start) return { type: "illegal", text: first };
			return { type: "value", text: this.#text() };
		}
		if (!FIELD.test(first)) return { type: "illegal", text: first };
		while (FIELD.test(this.next)) this.#at++;
		return { type: "field", text: this.#text() };
	}

	error(what: string): LamellaError {
		const before = this.#characters.slice(0, this.#start).join("");
		const here = this.#characters[this.#start] ?? "";
		const after = this.#characters.slice(this.#start + 1).join("");
		return new LamellaError("EINVALID", `filter [${before} >|${here}|< ${after}]: ${what}`);
	}

	#text(): string {
		return this.#characters.slice(this.#start, this.#at).join("");
	}

	/** Up to and with the closing quote. */
	#quoted(quote: string): boolean {
		for (;;) {
			const character = this.next;
			if (character === "" || character === "\n") return false;
			this.#at++;
			if (character === quote) return true;
			if (character === "\\" && this.next !== "") this.#at++;
		}
	}
}
