/** Go's quoted strings (strconv.Unquote), between double quotes or, for regular expressions, slashes or bars. */

const SIMPLE: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, "\\": 92 };
const DIGITS: Readonly<Record<string, { readonly count: number; readonly isBytes: boolean }>> = {
	x: { count: 2, isBytes: true },
	u: { count: 4, isBytes: false },
	U: { count: 8, isBytes: false },
};

/** The text that `quoted` stands for; undefined where it is malformed. `\xNN` and `\NNN` are bytes of UTF-8. */
export function unquote(quoted: string): string | undefined {
	const quote = quoted.slice(0, 1);
	if (quoted.length < 2 || !quoted.endsWith(quote)) return undefined;
	const inner = quoted.slice(1, -1);
	const bytes: Buffer[] = [];
	for (let i = 0; i < inner.length; ) {
		const backslash = inner.indexOf("\\", i);
		const end = backslash < 0 ? inner.length : backslash;
		const plain = inner.slice(i, end);
		if (plain.includes(quote) || plain.includes("\n")) return undefined;
		bytes.push(Buffer.from(plain));
		if (backslash < 0) break;
		const escaped = unescapeOne(inner.slice(backslash + 1), quote);
		if (escaped === undefined) return undefined;
		bytes.push(escaped.bytes);
		i = backslash + 1 + escaped.length;
	}
	return Buffer.concat(bytes).toString();
}

/** One escape, without its backslash. */
function unescapeOne(text: string, quote: string): { bytes: Buffer; length: number } | undefined {
	const first = text.slice(0, 1);
	if (first !== "" && first === quote) return { bytes: Buffer.from(quote), length: 1 };
	const simple = SIMPLE[first];
	if (simple !== undefined) return { bytes: Buffer.from([simple]), length: 1 };
	const digits = DIGITS[first];
	if (digits !== undefined) {
		const hex = text.slice(1, 1 + digits.count);
		if (hex.length < digits.count || !/^[0-9a-fA-F]+$/.test(hex)) return undefined;
		const value = Number.parseInt(hex, 16);
		const length = 1 + digits.count;
		if (digits.isBytes) return { bytes: Buffer.from([value]), length };
		if (value > 0x10ffff) return undefined;
		// A surrogate becomes U+FFFD, as Go encodes it.
		return { bytes: Buffer.from(String.fromCodePoint(value)), length };
	}
	const [octal] = /^[0-7]{3}/.exec(text) ?? [];
	if (octal === undefined) return undefined;
	const value = Number.parseInt(octal, 8);
	return value > 255 ? undefined : { bytes: Buffer.from([value]), length: 3 };
}
