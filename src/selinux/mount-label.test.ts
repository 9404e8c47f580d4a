import { expect, test } from "vitest";
import { formatMountLabel, mountLabelOption, splitMountOptions } from "./index.ts";

const label = "system_u:object_r:container_file_t:s0:c127,c456";

test.each([
	["", label, `context="${label}"`],
	["ro", label, `ro,context="${label}"`],
	["ro", "", "ro"],
	["ro", undefined, "ro"],
	[`context="old:s0:c1,c2",ro`, label, `ro,context="${label}"`],
	[`rw,context="${label}"`, label, `rw,context="${label}"`],
	["lowerdir=/a\\,context=x:/b,ro", label, `lowerdir=/a\\,context=x:/b,ro,context="${label}"`],
	["rootcontext=x", label, `rootcontext=x,context="${label}"`],
])("options %j with label %j", (options, added, expected) => {
	expect(formatMountLabel(options, added)).toBe(expected);
});

test("what would end the quotes is refused", () => {
	for (const bad of ['a",ro,x="', "a\\", "a\nb", "a b", "", "a\0"])
		expect(() => mountLabelOption(bad)).toThrow(/mount label/);
});

test("options split at plain commas only", () => {
	expect(splitMountOptions(`a,b="1,2",c\\,d,e\\\\,f\\`)).toEqual(["a", `b="1,2"`, "c\\,d", "e\\\\", "f\\"]);
	expect(splitMountOptions("")).toEqual([]);
});
