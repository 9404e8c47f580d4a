import { expect, test } from "vitest";
import { escapePath } from "./index.ts";

test.each([
	["usr/bin/x", "usr/bin/x"],
	["größe/日本", "größe/日本"],
	["a\\b", "a\\\\b"],
	["a\nb\x1b[31m", "a\\x0ab\\x1b[31m"],
	["\u202egnp", "\\xe2\\x80\\xaegnp"],
])("text %j is shown as %s", (text, shown) => {
	expect(escapePath(Buffer.from(text))).toBe(shown);
});

test("bytes that are not UTF-8 are shown one by one", () => {
	expect(escapePath(Buffer.from("caf\xe9/\xff", "latin1"))).toBe("caf\\xe9/\\xff");
	expect(escapePath(Buffer.from([0xe2, 0x82]))).toBe("\\xe2\\x82");
	expect(escapePath(Buffer.from([0xe2, 0x41, 0x42]))).toBe("\\xe2AB");
});
