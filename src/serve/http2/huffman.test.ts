import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeHuffman, SYMBOLS } from "./huffman.ts";

/** Each symbol's code, as bits in text. */
const CODES = new Map<number, string>();
let code = 0;
let bits = 0;
for (const [length, symbols] of Object.entries(SYMBOLS)) {
	for (const symbol of symbols) {
		code *= 2 ** (Number(length) - bits);
		bits = Number(length);
		CODES.set(symbol, code.toString(2).padStart(bits, "0"));
		code += 1;
	}
}

/** Fills up the last byte with ones. */
function packed(text: string): Buffer {
	const whole = text.padEnd(Math.ceil(text.length / 8) * 8, "1");
	return Buffer.from((whole.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

function encode(bytes: Iterable<number>): string {
	return [...bytes].map((byte) => CODES.get(byte) ?? "").join("");
}

test("the code has a word for every byte and the end of a string, and no room for more", () => {
	expect([...CODES.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: 257 }, (_, i) => i));
	expect([...CODES.values()].reduce((sum, word) => sum + 2 ** -word.length, 0)).toBe(1);
	// Some of appendix B: the first of a length, the last, and the end.
	expect(CODES.get(48)).toBe("00000");
	expect(CODES.get(90)).toBe("11111101");
	expect(CODES.get(255)).toBe("11111111111111111111101110");
	expect(CODES.get(22)).toBe(`${"1".repeat(28)}10`);
	expect(CODES.get(256)).toBe("1".repeat(30));
});

test("strings come back from the code", () => {
	fc.assert(
		fc.property(
			fc.uint8Array({ maxLength: 300 }),
			(bytes) => decodeHuffman(packed(encode(bytes))) === Buffer.from(bytes).toString("latin1"),
		),
	);
});

test.each([
	["nothing", "", ""],
	["seven bits of padding", `${encode([48, 48, 48, 48, 48])}1111111`, "00000"],
	["eight bits of padding", `${encode(Buffer.from("&"))}11111111`, undefined],
	["more padding", `${encode([48])}11111111111`, undefined],
	["padding that is not ones", `${encode([48])}110`, undefined],
	["only a half of a code", encode([255]).slice(0, 24), undefined],
	["the end of a string within it", `${encode([48])}${"1".repeat(30)}${encode([48])}`, undefined],
	["the end of a string at its end", `${encode([48])}${"1".repeat(30)}`, undefined],
])("%s is decoded or refused", (_, text, decoded) => {
	expect(decodeHuffman(packed(text))).toBe(decoded);
});
