/** A forest drawn with lines, as `lamella tree` shows how layers stand on one another. */

export interface TreeNode {
	readonly label: string;
	readonly children: readonly TreeNode[];
}

/** One line a node, depth first. A chain without branches grows to the right no more than it must. */
export function treeLines(roots: readonly TreeNode[]): string[] {
	const lines: string[] = [];
	// A chain may be hundreds of layers deep: no recursion.
	const pending = roots.map((node) => ({ node, first: "", rest: "" })).reverse();
	for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
		const { node, first, rest } = next;
		lines.push(first + node.label);
		node.children
			.map((child, i) => {
				const last = i === node.children.length - 1;
				return { node: child, first: rest + (last ? "└─ " : "├─ "), rest: rest + (last ? "   " : "│  ") };
			})
			.reverse()
			.forEach((child) => {
				pending.push(child);
			});
	}
	return lines;
}
