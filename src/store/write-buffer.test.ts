import fc from "fast-check";
import { expect, test } from "vitest";
import { overlaid } from "./write-buffer.ts";

const bytewise = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
	Buffer.compare(Buffer.from(a), Buffer.from(b));

test("entries with writes among them are those of a table that has them", () => {
	const key = fc.string({ unit: "grapheme", maxLength: 3 });
	const table = fc.dictionary(key, fc.nat());
	const writes = fc.dictionary(key, fc.option(fc.nat(), { nil: undefined }));
	fc.assert(
		fc.property(table, writes, fc.constantFrom("", "a", "é"), (had, wrote, prefix) => {
			const entries = Object.entries(had).filter(([name]) => name.startsWith(prefix));
			const expected = new Map<string, number>(entries);
			for (const [name, value] of Object.entries(wrote)) {
				if (!name.startsWith(prefix)) continue;
				if (value === undefined) expected.delete(name);
				else expected.set(name, value);
			}
			const found = [...overlaid(entries.sort(bytewise), new Map(Object.entries(wrote)), prefix)];
			expect(found).toEqual([...expected].sort(bytewise));
		}),
	);
});
