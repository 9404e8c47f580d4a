/** For tests: what was done in a mounted layer, in the two forms in which changes and diffs are asked for. */
import { execFileSync } from "node:child_process";
import type { DiffSubject } from "../contract.ts";
import type { OverlayPlace, Workplace } from "./overlay-mount.ts";
import { applyEdits, type Edit } from "./random-edits.ts";
import { makeTree, type TreeSpec } from "./random-tree.ts";

/** What a job gets, for calling it directly. */
export const jobContext = { checkAborted: (): void => undefined, progress: (): void => undefined };

/** Runs a script in a directory; throws where a command of it fails. */
export function shell(cwd: string, script: string): void {
	execFileSync("bash", ["-euc", script], { cwd });
}

/** What an upper directory changed over `lowers` (top first). */
export function upperSubject(upper: string, lowers: readonly string[]): DiffSubject {
	return { form: "upper", upper, lowers, xattrPrefix: "trusted.overlay." };
}

export interface EditedLayer {
	/** The layer that was edited last, mounted. */
	readonly edited: OverlayPlace;
	/** What it was before, mounted. */
	readonly before: OverlayPlace;
	/** Its changes by its upper directory, and by comparing both trees. */
	readonly subjects: readonly [byUpper: DiffSubject, byTrees: DiffSubject];
}

/** A tree, a layer of edits over it, and another layer of edits over that. */
export function editTwice(
	place: Workplace,
	tree: TreeSpec,
	first: readonly Edit[],
	second: readonly Edit[],
): EditedLayer {
	const base = place.make("base");
	makeTree(base, tree);
	const one = place.mount([base]);
	applyEdits(one.merged, first);
	place.unmount(one.merged);
	const lowers = [one.upper, base];
	const before = place.mount(lowers);
	const edited = place.mount(lowers);
	applyEdits(edited.merged, second);
	return {
		edited,
		before,
		subjects: [upperSubject(edited.upper, lowers), { form: "trees", from: before.merged, to: edited.merged }],
	};
}
