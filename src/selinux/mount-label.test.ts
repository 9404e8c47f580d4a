import { expect, test } from "vitest";
import { mountLabelOption } from "./index.ts";

test("a label is quoted, for its categories hold commas", () => {
	const label = "system_u:object_r:container_file_t:s0:c127,c456";
	expect(mountLabelOption(label)).toBe(`context="${label}"`);
});

test("what would end the quotes is refused", () => {
	for (const bad of ['a",ro,x="', "a\\", "a\nb", "a b", "", "a\0"])
		expect(() => mountLabelOption(bad)).toThrow(/mount label/);
});
