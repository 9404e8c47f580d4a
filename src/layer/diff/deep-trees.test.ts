/** Trees far deeper than PATH_MAX and than a thread's stack: every job takes them, up to one limit. */
import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import * as linux from "../../linux/index.ts";
import type { Change } from "../contract.ts";
import { flattenTree } from "../overlay/flatten.ts";
import { checkPacked } from "../packed/check-packed.ts";
import { makeImage } from "../packed/image-job.ts";
import { diffToFile } from "../testing/diff-to-file.ts";
import { upperSubject } from "../testing/edited-layer.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { packMembers, packTar, packTree } from "../testing/packed-layers.ts";
import { applyMembers, applyTar, entryOf, quietContext } from "../testing/tar-of.ts";
import { copyTree } from "../tree/copy.ts";
import { removeTree } from "../tree/remove.ts";
import { TreePath } from "../tree/tree-path.ts";
import { usageOf } from "../tree/usage.ts";
import { linkBelow } from "../tree/walk.ts";
import { changesOf } from "./changes.ts";

const DEPTH = 12_000;

/** Directories `name` within each other, with a file in the last one where it is named. */
function makeDeep(top: string, depth: number, name: string, leaf?: string): void {
	let fd = linux.openat(linux.AT_FDCWD, top, linux.O_RDONLY | linux.O_DIRECTORY);
	for (let level = 0; level < depth; level++) {
		linux.mkdirat(fd, name, 0o755);
		const child = linux.openat(fd, name, linux.O_RDONLY | linux.O_DIRECTORY);
		linux.close(fd);
		fd = child;
	}
	if (leaf !== undefined) linux.close(linux.openat(fd, leaf, linux.O_WRONLY | linux.O_CREAT, 0o644));
	linux.close(fd);
}

/** As toEqual, which takes minutes for paths of this length. */
function sameChanges(a: readonly Change[], b: readonly Change[]): boolean {
	const isSame = ({ kind, path }: Change, i: number): boolean =>
		b[i]?.kind === kind && b[i].path.equals(path);
	return a.length === b.length && a.every(isSame);
}

test("12,000 directories in each other: changes, diff, apply, pack, flatten, copy, usage, removal", {
	timeout: 300_000,
}, () => {
	using place = new Workplace();
	place.useMemory();
	const upper = place.make("upper");
	makeDeep(upper, DEPTH, "d", "leaf");
	const subject = upperSubject(upper, []);
	const changes = changesOf(subject, quietContext);
	expect(changes).toHaveLength(DEPTH + 1);
	expect(changes.at(-1)?.path.length).toBe(2 * DEPTH + "/leaf".length);
	const { tar, result } = diffToFile(place, subject);

	const applied = place.make("applied");
	const { usage } = applyTar({ directory: applied }, [tar]);
	expect(usage.inodes).toBe(DEPTH + 2);
	expect(usageOf([applied], quietContext)).toEqual(usage);
	expect(diffToFile(place, upperSubject(applied, [])).result.diffId).toBe(result.diffId);

	const packed = place.make("packed");
	expect(packTar(packed, [], tar).entries).toBe(DEPTH + 2);
	expect(sameChanges(changesOf({ form: "packed", layer: packed, lowers: [] }, quietContext), changes)).toBe(
		true,
	);
	const image = path.join(place.make("image"), "root.erofs");
	expect(makeImage({ layers: [packed], target: image }, quietContext).entries).toBe(DEPTH + 2);
	expect(checkPacked(packed, quietContext)).toEqual([]);

	const flat = place.make("flat");
	const xattrPrefix = "trusted.overlay.";
	expect(flattenTree({ lowers: [applied], target: flat, xattrPrefix }, quietContext).entries).toBe(DEPTH + 2);
	const copy = path.join(place.make("copy"), "tree");
	expect(copyTree({ from: flat, to: copy }, quietContext).entries).toBe(DEPTH + 2);
	expect(changesOf({ form: "trees", from: flat, to: copy }, quietContext)).toEqual([]);
	for (const tree of [upper, applied, flat, copy]) removeTree(tree);
	expect([upper, applied, flat, copy].filter((tree) => fs.existsSync(tree))).toEqual([]);
});

test("a layer goes deep into a lower: a new file, a deleted one, directories without entries like the lower's", () => {
	using place = new Workplace();
	place.useMemory();
	const lower = place.make("lower");
	makeDeep(lower, 3000, "directory", "leaf");
	const deep = "directory/".repeat(3000);
	const layer = place.make("layer");
	applyMembers({ directory: layer, lowers: [lower] }, [entryOf(`${deep}new`), entryOf(`${deep}.wh.leaf`)]);
	const changes = changesOf(upperSubject(layer, [lower]), quietContext);
	const files = changes.filter(({ path }) => path.length > deep.length);
	expect(files.map(({ kind, path }) => `${kind} ${path}`)).toEqual([`D /${deep}leaf`, `A /${deep}new`]);
	const packedLower = packTree(place, lower);
	const packed = place.make("packed");
	packMembers(packed, [packedLower], [entryOf(`${deep}new`), entryOf(`${deep}.wh.leaf`)]);
	const packedChanges = changesOf({ form: "packed", layer: packed, lowers: [packedLower] }, quietContext);
	expect(sameChanges(packedChanges, changes)).toBe(true);
	const { tar } = diffToFile(place, upperSubject(layer, [lower]));
	applyTar({ directory: lower, form: "plain" }, [tar]);
	expect(changesOf({ form: "trees", to: lower }, quietContext).at(-1)?.path.toString()).toBe(`/${deep}new`);
});

test("copies keep link sets, where paths are longer than a call takes, too", () => {
	using place = new Workplace();
	place.useMemory();
	const tree = place.make("tree");
	makeDeep(tree, 3000, "d", "leaf");
	const leaf = TreePath.root.child(Buffer.from("leaf"));
	let deep = TreePath.root;
	for (let level = 0; level < 3000; level++) deep = deep.child(Buffer.from("d"));
	const treeFd = linux.openat(linux.AT_FDCWD, tree, linux.O_RDONLY);
	linkBelow(treeFd, deep.child(leaf.name), treeFd, leaf.name);
	linux.close(treeFd);
	const copy = path.join(place.make("copy"), "tree");
	copyTree({ from: tree, to: copy }, quietContext);
	expect(fs.statSync(path.join(copy, "leaf")).nlink).toBe(2);
});

test("changes, diff and apply have one limit for paths", () => {
	using place = new Workplace();
	place.useMemory();
	const name = "n".repeat(255);
	const refused = expect.objectContaining({ code: "ETAR", message: expect.stringContaining("32767") });
	const fits = place.make("fits");
	makeDeep(fits, 128, name);
	const { tar } = diffToFile(place, upperSubject(fits, []));
	applyTar({ directory: place.make("applied") }, [tar]);
	const over = place.make("over");
	makeDeep(over, 128, name, "leaf");
	expect(() => changesOf(upperSubject(over, []), quietContext)).toThrow(refused);
	expect(() => diffToFile(place, upperSubject(over, []))).toThrow(refused);
	expect(() => diffToFile(place, { form: "trees", to: over })).toThrow(refused);
});
