import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import * as linux from "../../linux/index.ts";
import type { Change, DiffSubject } from "../contract.ts";
import { editTwice, jobContext, shell, upperSubject } from "../testing/edited-layer.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { randomEdits } from "../testing/random-edits.ts";
import { randomTree } from "../testing/random-tree.ts";
import { changesOf } from "./changes.ts";

function lines(changes: readonly Change[]): string[] {
	return changes.map(({ kind, path: bytes }) => `${kind} ${linux.escapePath(bytes)}`);
}

function changesIn(subject: DiffSubject): string[] {
	return lines(changesOf(subject, jobContext));
}

/** Every file has the same old time, as in an image. */
const IMAGE = `
	mkdir -p d/sub repl r2 empty opq opq2/deep same moved tm d-x
	for f in d/a d/b d/sub/x d/sub/y repl/1 repl/2 opq/k opq/l opq/m opq2/1 opq2/deep/2 f1 f2 f3 f4 f5 f6 f7 f8 same/1 moved/z d-x/q
	do echo "$f" > $f; done
	ln f1 f1b; ln -s f1 sym; ln -s f1 sym2; mknod dev c 5 1; mkfifo fifo
	find . -exec touch -h -d "2020-01-01 00:00:00" {} +
`;

/** What was done in a container → what \`docker diff\` of dockerd 20.10.24 -s overlay2 says, sorted. */
const AS_DOCKER_SAYS: readonly (readonly [what: string, edit: string, expected: readonly string[]])[] = [
	["a new file", "echo new > d/new", ["C /d", "A /d/new"]],
	["a new directory with a file", "mkdir d/n; echo i > d/n/i", ["C /d", "A /d/n", "A /d/n/i"]],
	["a new file in the root does not list the root", "echo x > x", ["A /x"]],
	["a deleted directory is one line", "rm -r d/sub", ["C /d", "D /d/sub"]],
	["a directory replaced by a file", "rm -r repl; echo f > repl", ["C /repl"]],
	["a directory replaced by a symlink", "rm -r r2; ln -s /d r2", ["C /r2"]],
	["a file replaced by a directory", "rm f5; mkdir f5; touch f5/in", ["C /f5", "A /f5/in"]],
	[
		"a directory made anew is compared child by child",
		"rm -r opq; mkdir opq; echo k2 > opq/k; touch opq/n; echo opq/l > opq/l; touch -d '2020-01-01 00:00:00' opq/l",
		["C /opq", "C /opq/k", "D /opq/m", "A /opq/n"],
	],
	[
		"a directory made anew below one made anew",
		"rm -r opq2; mkdir -p opq2/deep",
		["C /opq2", "D /opq2/1", "C /opq2/deep", "D /opq2/deep/2"],
	],
	["a change of mode", "chmod 600 f1", ["C /f1"]],
	["a change of owner", "chown 5:5 f1", ["C /f1"]],
	["a file copied up without a change", ": >> f3", []],
	["a directory's own mode", "chmod 700 empty", ["C /empty"]],
	["a directory's time", "touch tm", []],
	["a file that came and went", "touch same/t; rm same/t", []],
	["a whiteout of nothing in the lowers", "touch f7x; rm f7x", []],
	["a renamed directory", "mv moved moved2", ["D /moved", "A /moved2", "A /moved2/z"]],
	["a hard link to an image's file", "ln f4 f4b", ["A /f4b"]],
	["a file touched", "touch f6", ["C /f6"]],
	["a file replaced by its exact copy", "cp -p f8 f8.n; mv f8.n f8", []],
	["a fifo and a device", "mkfifo p; mknod c c 1 3", ["A /c", "A /p"]],
	["a device replaced by another", "rm dev; mknod dev c 5 2; touch -d '2020-01-01 00:00:00' dev", ["C /dev"]],
	["a symlink made anew", "rm sym; ln -s f1 sym", ["C /sym"]],
	[
		"an empty directory in one with a longer name",
		"mkdir d-x/e; touch d/z",
		["C /d", "A /d/z", "C /d-x", "A /d-x/e"],
	],
];

test.for(AS_DOCKER_SAYS)("as docker diff: %s", ([, edit, expected]) => {
	using place = new Workplace();
	const base = place.make("base");
	shell(base, IMAGE);
	const { upper, merged } = place.mount([base]);
	shell(merged, edit);
	expect(changesIn(upperSubject(upper, [base]))).toEqual(expected);
	expect(changesIn({ form: "trees", from: base, to: merged })).toEqual(expected);
});

/** Where docker diff says nothing, though the layer changed. */
const UNSEEN_BY_DOCKER: readonly (readonly [what: string, edit: string, expected: readonly string[]])[] = [
	["other content of equal size and mtime", "echo g2 > f2; touch -d '2020-01-01 00:00:00' f2", ["C /f2"]],
	["an xattr", "setfattr -n user.a -v b f2", ["C /f2"]],
	["an xattr of a directory", "setfattr -n user.a -v b d", ["C /d"]],
	["a symlink's target", "ln -sfn ff sym2; touch -h -d '2020-01-01 00:00:00' sym2", ["C /sym2"]],
	["nanoseconds", "touch -d '2020-01-01 00:00:00.5' f2", ["C /f2"]],
];

test.for(UNSEEN_BY_DOCKER)("unlike docker diff, a change is told: %s", ([, edit, expected]) => {
	using place = new Workplace();
	const base = place.make("base");
	shell(base, IMAGE);
	const { upper, merged } = place.mount([base]);
	shell(merged, edit);
	expect(changesIn(upperSubject(upper, [base]))).toEqual(expected);
	expect(changesIn({ form: "trees", from: base, to: merged })).toEqual(expected);
});

test("everything is added where there is nothing to compare with", () => {
	using place = new Workplace();
	const base = place.make("base");
	shell(base, "mkdir a; touch a/b c");
	const expected = ["A /a", "A /a/b", "A /c"];
	expect(changesIn(upperSubject(base, []))).toEqual(expected);
	expect(changesIn({ form: "trees", to: base })).toEqual(expected);
});

test("an upper with a redirected directory is refused by name", () => {
	using place = new Workplace();
	const upper = place.make("upper");
	mkdirSync(path.join(upper, "moved"));
	shell(upper, "setfattr -n trusted.overlay.redirect -v /old moved");
	const subject = upperSubject(upper, []);
	expect(() => changesOf(subject, jobContext)).toThrow(/"moved" carries trusted\.overlay\.redirect/);
});

test("user.overlay xattrs mean nothing in a layer that was mounted with trusted ones", () => {
	using place = new Workplace();
	const base = place.make("base");
	const upper = place.make("upper");
	shell(base, "mkdir d; touch d/kept");
	shell(upper, "mkdir d; setfattr -n user.overlay.opaque -v y d");
	execFileSync("touch", ["-r", path.join(base, "d"), path.join(upper, "d")]);
	expect(changesIn(upperSubject(upper, [base]))).toEqual([]);
});

test("the xattr form of whiteouts deletes as the device does", () => {
	using place = new Workplace();
	const base = place.make("base");
	const upper = place.make("upper");
	shell(base, "mkdir d; touch d/gone d/kept");
	mkdirSync(path.join(upper, "d"));
	writeFileSync(path.join(upper, "d/gone"), "");
	shell(upper, "setfattr -n trusted.overlay.opaque -v x d; setfattr -n trusted.overlay.whiteout -v y d/gone");
	expect(changesIn(upperSubject(upper, [base]))).toEqual(["C /d", "D /d/gone"]);
});

test("an upper and a comparison of the merged tree tell the same changes", () => {
	fc.assert(
		fc.property(randomTree(), randomEdits(), randomEdits(), (tree, first, second) => {
			using place = new Workplace();
			const [byUpper, byTrees] = editTwice(place, tree, first, second).subjects;
			expect(changesIn(byUpper)).toEqual(changesIn(byTrees));
		}),
		{ numRuns: 40, endOnFailure: true },
	);
});
