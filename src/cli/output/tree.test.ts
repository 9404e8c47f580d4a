import { expect, test } from "vitest";
import { type TreeNode, treeLines } from "./tree.ts";

const leaf = (label: string): TreeNode => ({ label, children: [] });

test("branches are drawn under their parent, the last one with a corner", () => {
	const lines = treeLines([
		{ label: "base", children: [{ label: "x", children: [leaf("x1")] }, leaf("y")] },
		leaf("z"),
	]);
	expect(lines).toEqual(["base", "├─ x", "│  └─ x1", "└─ y", "z"]);
});

test("a chain of ten thousand layers is no trouble", () => {
	let node = leaf("0");
	for (let i = 1; i < 10_000; i++) node = { label: String(i), children: [node] };
	expect(treeLines([node])).toHaveLength(10_000);
});
