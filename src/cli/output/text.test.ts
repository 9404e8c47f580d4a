import fc from "fast-check";
import { expect, test } from "vitest";
import { forPeople, printableJson, shortDigest, shortId, withoutControls } from "./text.ts";

test("escape sequences and line breaks in a name never reach the terminal", () => {
	const shown = forPeople("\x1b]0;owned\x07a\nb");
	expect(shown).not.toMatch(/\p{Cc}/u);
	expect(shown).toContain("\\x1b");
});

test("a name that is not UTF-8 is shown by its bytes", () => {
	expect(forPeople(Buffer.from([0x63, 0xe9]))).toBe("c\\xe9");
});

test("a message keeps its lines and backslashes and loses every other control character", () => {
	expect(withoutControls("a\\x1b\n\tb\x1b[2Jc\u202ed")).toBe("a\\x1b\n\tb\\x1b[2Jc\\u{202e}d");
});

test("no message whatever moves the cursor", () => {
	fc.assert(
		fc.property(fc.string({ unit: "binary" }), (message) => {
			expect(withoutControls(message)).not.toMatch(/(?![\n\t])[\p{C}\p{Zl}\p{Zp}]/u);
		}),
	);
});

test("a JSON document is the same and shows no control, no mark that reorders, no tag", () => {
	fc.assert(
		fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })), (labels) => {
			const printed = printableJson(labels);
			expect(printed).not.toMatch(/(?!\n)[\p{C}\p{Zl}\p{Zp}]/u);
			expect(JSON.parse(printed)).toEqual(labels);
		}),
	);
	expect(printableJson("a\u202eb\u009b\u{e0041}")).toBe('"a\\u202eb\\u009b\\udb40\\udc41"');
});

test("digests are shortened to twelve digits, names are left alone", () => {
	const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
	expect(shortDigest(digest)).toBe("0123456789ab");
	expect(shortDigest("debian:demo")).toBe("debian:demo");
	expect(shortId(digest)).toBe("0123456789ab");
	expect(shortId("web1")).toBe("web1");
});
