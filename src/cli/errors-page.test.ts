import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../errors/index.ts";

test("docs/errors.md has every error code with its meaning, and no other", () => {
	const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
	const rows = [...page.matchAll(/^\| `(E[A-Z]+)` \| (.+?) \| .+ \|$/gm)].map(([, code, meaning]) => [
		code,
		meaning,
	]);
	expect(rows).toEqual(Object.entries(ERROR_CODES));
});
