import { expect, test } from "vitest";
import { displayWidth, tableLines } from "./table.ts";

test("columns align, numbers to the right, and nothing trails", () => {
	const lines = tableLines(
		[
			{ title: "NAME", cell: (row: { name: string; size: string }) => row.name },
			{ title: "SIZE", cell: (row) => row.size, align: "right" },
			{ title: "LAST", cell: () => "" },
		],
		[
			{ name: "a", size: "1 B" },
			{ name: "longer", size: "999 MB" },
		],
	);
	expect(lines).toEqual(["NAME      SIZE  LAST", "a          1 B", "longer  999 MB"]);
});

test("a wide character takes two cells and a combining mark none", () => {
	expect(displayWidth("日本")).toBe(4);
	expect(displayWidth("e\u0301")).toBe(1);
	expect(displayWidth("naïve")).toBe(5);
});

test("no rows leave the header", () => {
	expect(tableLines([{ title: "NAME", cell: () => "" }], [])).toEqual(["NAME"]);
});
