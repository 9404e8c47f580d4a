import { describe, expect, it } from "vitest";
import { parseLayerName } from "./names.ts";

describe("layer names", () => {
	it.each(["", ".", "..", "/", "a/b", "-a", "_a", ".a", "a b", "ä", "a\u0000", "a\n", "a".repeat(129)])(
		"refuses %j",
		(text) => {
			expect(() => parseLayerName(text)).toThrowError(expect.objectContaining({ code: "EINVALID" }));
		},
	);

	it("takes the names that container engines take", () => {
		for (const name of ["a", "web1", "0", "A.b_c-d", "a".repeat(128)])
			expect(parseLayerName(name)).toBe(name);
	});
});
