import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import * as linux from "../../linux/index.ts";
import type { DiffRequest } from "../jobs/job-contract.ts";
import { diffToFile } from "../testing/diff-to-file.ts";
import { editTwice, jobContext, shell, upperSubject } from "../testing/edited-layer.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { applyPlainly, readMembers } from "../testing/plain-apply.ts";
import { randomEdits } from "../testing/random-edits.ts";
import { randomTree } from "../testing/random-tree.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import { diffSize } from "./diff.ts";

function names(tar: Buffer): string[] {
	return readMembers(tar).map(({ entry }) => linux.escapePath(entry.path));
}

test("applying the diff of an upper, or of two trees, gives the tree that the mount shows", () => {
	fc.assert(
		fc.property(randomTree(), randomEdits(), randomEdits(), (tree, first, second) => {
			using place = new Workplace();
			const { edited, before, subjects } = editTwice(place, tree, first, second);
			// Where ext4 says that data lies depends on what it has written back by then; holes have a test of their own.
			const snapshot = (root: string) => snapshotTree(root, { ignoreHoles: true });
			const expected = snapshot(edited.merged);

			for (const subject of subjects) {
				const { tar, result } = diffToFile(place, subject);
				expect(result.diffId).toBe(`sha256:${createHash("sha256").update(tar).digest("hex")}`);
				expect(result.tarSizeBytes).toBe(tar.length);
				expect(result.contentSizeBytes).toBe(diffSize(subject, jobContext));
				const again = (): string => diffToFile(place, subject, { expandHoles: true }).result.diffId;
				expect(again()).toBe(again());
				const root = path.join(place.make("applied"), "root");
				execFileSync("cp", ["-a", before.merged, root]);
				applyPlainly(tar, root);
				expect(snapshot(root)).toEqual(expected);
			}
			const whole = place.make("whole");
			applyPlainly(diffToFile(place, { form: "trees", to: edited.merged }).tar, whole);
			expect(snapshot(whole)).toEqual(expected);
		}),
		{ numRuns: 25, endOnFailure: true },
	);
});

test("members are in tree order with marks in their places, and the root only where it changed", () => {
	using place = new Workplace();
	const base = place.make("base");
	shell(base, "mkdir d opq same; touch d/a d/z opq/k gone");
	const { upper, merged } = place.mount([base]);
	const subject = upperSubject(upper, [base]);
	expect(names(diffToFile(place, subject).tar)).toEqual([]);
	shell(
		merged,
		"rm d/a gone; echo b > d/b; rm -r opq; mkdir opq; touch opq/n; ln d/b d-link; touch -r same .",
	);
	expect(names(diffToFile(place, subject).tar)).toEqual([
		"./",
		"d/",
		"d/.wh.a",
		"d/b",
		"d-link",
		".wh.gone",
		"opq/",
		"opq/.wh..wh..opq",
		"opq/n",
	]);
	// The second name of a link set, in order, is the link.
	const link = readMembers(diffToFile(place, subject).tar).find(({ entry }) => entry.type === "hardlink");
	expect(link?.entry.linkPath.toString()).toBe("d/b");
});

test("what a layer cannot hold is left out with a warning", () => {
	using place = new Workplace();
	const upper = place.make("upper");
	shell(
		upper,
		`mkdir .wh.d; touch .wh.d/x .wh.f kept; setfattr -n user.overlay.x -v 1 kept
		python3 -c 'import socket; [socket.socket(socket.AF_UNIX).bind(name) for name in "st"]'`,
	);
	const subject = upperSubject(upper, []);
	const { tar, result } = diffToFile(place, subject);
	expect(names(tar)).toEqual(["./", "kept"]);
	expect(result.warnings).toEqual([
		{
			kind: "whiteout-name",
			count: 2,
			path: ".wh.d",
			text: 'names that begin with ".wh." are left out, because in a layer they mean deletions: ".wh.d" and 1 more',
		},
		{
			kind: "overlay-xattr",
			xattr: "user.overlay.x",
			count: 1,
			path: "kept",
			text: 'the xattr user.overlay.x is left out, because overlayfs would take it for its own: "kept"',
		},
		{
			kind: "socket",
			count: 2,
			path: "s",
			text: 'sockets are left out, because a layer cannot hold them: "s" and 1 more',
		},
	]);
	expect(names(diffToFile(place, { form: "trees", to: upper }).tar)).toEqual(["./", "kept"]);
	expect(names(diffToFile(place, { form: "trees", from: place.make("empty"), to: upper }).tar)).toEqual([
		"./",
		"kept",
	]);
});

test("what is left out never lets the parent's file show in its place", () => {
	using place = new Workplace();
	const lower = place.make("lower");
	shell(lower, "mkdir d; touch sock dev .wh.changed .wh.deleted d/.wh..opq; touch d/stays");
	const edit = (script: string) => {
		const { upper, merged } = place.mount([lower]);
		shell(merged, script);
		const subjects = [upperSubject(upper, [lower]), { form: "trees", from: lower, to: merged } as const];
		return subjects.map((subject) => (options: Partial<DiffRequest>) => diffToFile(place, subject, options));
	};
	const bind = `python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'`;
	for (const diff of edit(`rm sock; ${bind}; touch .wh.new`)) {
		expect(names(diff({}).tar).filter((name) => name !== "./")).toEqual([".wh.sock"]);
	}
	for (const script of ["echo x > .wh.changed", "rm .wh.deleted", "rm d/.wh..opq"]) {
		for (const diff of edit(script)) {
			expect(() => diff({})).toThrow(expect.objectContaining({ code: "ENOTSUPPORTED" }));
			const { tar, result } = diff({ skipUnsupported: true });
			expect(names(tar).filter((name) => name.includes(".wh."))).toEqual([]);
			expect(result.warnings).toMatchObject([{ kind: "whiteout-name", count: 1 }]);
		}
	}
	// A device that overlayfs would take for a whiteout can be in a plain tree only.
	const tree = place.make("tree");
	shell(tree, "mknod dev c 0 0");
	const { tar, result } = diffToFile(
		place,
		{ form: "trees", from: lower, to: tree },
		{ skipUnsupported: true },
	);
	expect(names(tar)).toContain(".wh.dev");
	expect(result.warnings).toContainEqual(expect.objectContaining({ kind: "whiteout-device", path: "dev" }));
});

test("holes cost nothing in the tar unless they are to be expanded", () => {
	using place = new Workplace();
	const upper = place.make("upper");
	shell(upper, "truncate -s 40M big; printf end >> big");
	const subject = upperSubject(upper, []);
	expect(diffToFile(place, subject).tar.length).toBeLessThan(20_000);
	const expanded = diffToFile(place, subject, { expandHoles: true });
	expect(expanded.tar.length).toBeGreaterThan(40 << 20);
	expect(expanded.result.contentSizeBytes).toBe((40 << 20) + 3);
});

test("host ids become container ids, and one that has none is an error with the file's name", () => {
	using place = new Workplace();
	const upper = place.make("upper");
	shell(upper, "touch f; chown 100005:100000 . f");
	const ranges = [{ containerId: 0, hostId: 100_000, size: 10 }];
	const subject = upperSubject(upper, []);
	const { tar } = diffToFile(place, subject, { idMaps: { uids: ranges, gids: ranges } });
	expect(readMembers(tar).map(({ entry }) => [entry.uid, entry.gid])).toEqual([
		[5, 0],
		[5, 0],
	]);
	shell(upper, "chown 7 f");
	expect(() => diffToFile(place, subject, { idMaps: { uids: ranges, gids: ranges } })).toThrow(/"f"/);
});
