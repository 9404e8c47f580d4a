/** `lamella tree`: layers under their parents, with the images that end at each. */
import type { TreeNode } from "../../api/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { layerJson } from "../json-shapes.ts";
import { counted, humanSize } from "../output/amounts.ts";
import { forPeople, shortDigest, shortId } from "../output/text.ts";
import { type TreeNode as DrawnNode, treeLines } from "../output/tree.ts";

export const command: CommandModule = defineCommand<[]>({
	configure: () => undefined,
	run: async (context) => {
		using reader = await context.openReader();
		const roots = reader.tree();
		if (context.json) return context.printJson(roots.map(nodeJson));
		if (roots.length === 0) context.note("there are no layers yet; lamella import IMAGE.tar brings some in");
		context.print(...treeLines(roots.map((root) => drawn(root, context.whole))));
	},
});

function drawn(node: TreeNode, whole: boolean): DrawnNode {
	const { layer, images } = node;
	const parts = [forPeople(whole ? layer.id : shortId(layer.id))];
	if (layer.usage !== undefined) parts.push(humanSize(layer.usage.sizeBytes));
	if (layer.kind !== "committed") parts.push(layer.kind === "active" ? "writable" : "view");
	if (layer.flattened) parts.push("flattened");
	if (layer.mountCount > 0) parts.push(`mounted (${counted(layer.mountCount, "holder")})`);
	if (images.length > 0)
		parts.push(`<- ${images.map((name) => forPeople(whole ? name : shortDigest(name))).join(", ")}`);
	return { label: parts.join("  "), children: node.children.map((child) => drawn(child, whole)) };
}

function nodeJson(node: TreeNode): object {
	return { layer: layerJson(node.layer), images: node.images, children: node.children.map(nodeJson) };
}
