/** Tokens of one filter. After an operator nearly everything is a value, up to a space or a comma. */
import { LamellaError } from "../../../errors/index.ts";

export interface Token {
	readonly type: "field" | "value" | "quoted" | "separator" | "operator" | "illegal" | "end";
	readonly text: string;
}

const SPACE = /\s/u;
const FIELD = /[A-Za-z0-9_-]/;
const OPERATOR = /[=!~@]/;
const QUOTE = /["/|]/;
/** What Go calls graphic. */
const GRAPHIC = /[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]/u;

export class Scanner {
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
