import { expect, it } from "vitest";
import { layerMetadata } from "./metadata.ts";

it("a layer's directories have the names that moby's drivers give them", () => {
	const [upper, work, merged] = ["/l/3/diff", "/l/3/work", "/l/3/merged"];
	expect(layerMetadata({ upper, lowers: ["/l/2/diff", "/l/1/root"], work, merged })).toEqual({
		LowerDir: "/l/2/diff:/l/1/root",
		MergedDir: merged,
		UpperDir: upper,
		WorkDir: work,
	});
	expect(layerMetadata({ upper, lowers: [], merged })).toEqual({ MergedDir: merged, UpperDir: upper });
	expect(layerMetadata({ root: "/l/3/root", upper, lowers: ["/l/2/diff"], merged })).toEqual({
		RootDir: "/l/3/root",
	});
});
