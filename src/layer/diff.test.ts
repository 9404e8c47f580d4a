import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import * as linux from "../linux/index.ts";
import type { DiffSubject } from "./contract.ts";
import { diffSize, writeDiff } from "./diff.ts";
import type { DiffRequest, DiffResult } from "./job-contract.ts";
import { Workplace } from "./testing/overlay-mount.ts";
import { applyPlainly, readMembers } from "./testing/plain-apply.ts";
import { applyEdits, randomEdits } from "./testing/random-edits.ts";
import { makeTree, randomTree } from "./testing/random-tree.ts";
import { snapshotTree } from "./testing/snapshot-tree.ts";

const context = { checkAborted: () => undefined, progress: () => undefined };
const xattrPrefix = "trusted.overlay.";

function diff(
	place: Workplace,
	subject: DiffSubject,
	options: Partial<DiffRequest> = {},
): { tar: Buffer; result: DiffResult } {
	const file = path.join(place.make("tar"), "layer.tar");
	const fd = openSync(file, "wx");
	try {
		const result = writeDiff({ ...options, subject, fd }, context);
		return { tar: readFileSync(file), result };
	} finally {
		closeSync(fd);
	}
}

function shell(cwd: string, script: string): void {
	execFileSync("bash", ["-euc", script], { cwd });
}

function names(tar: Buffer): string[] {
	return readMembers(tar).map(({ entry }) => linux.escapePath(entry.path));
}

test("applying the diff of an upper, or of two trees, gives the tree that the mount shows", () => {
	fc.assert(
		fc.property(randomTree(), randomEdits(), randomEdits(), (tree, first, second) => {
			using place = new Workplace();
			const base = place.make("base");
			makeTree(base, tree);
			const one = place.mount([base]);
			applyEdits(one.merged, first);
			place.unmount(one.merged);
			const before = place.mount([one.upper, base]);
			const two = place.mount([one.upper, base]);
			applyEdits(two.merged, second);
			// Where ext4 says that data lies depends on what it has written back by then; holes have a test of their own.
			const snapshot = (root: string) => snapshotTree(root, { ignoreHoles: true });
			const expected = snapshot(two.merged);

			const subjects: DiffSubject[] = [
				{ form: "upper", upper: two.upper, lowers: [one.upper, base], xattrPrefix },
				{ form: "trees", from: before.merged, to: two.merged },
			];
			for (const subject of subjects) {
				const { tar, result } = diff(place, subject);
				expect(result.diffId).toBe(`sha256:${createHash("sha256").update(tar).digest("hex")}`);
				expect(result.tarSizeBytes).toBe(tar.length);
				expect(result.contentSizeBytes).toBe(diffSize(subject, context));
				const again = (): string => diff(place, subject, { expandHoles: true }).result.diffId;
				expect(again()).toBe(again());
				const root = path.join(place.make("applied"), "root");
				execFileSync("cp", ["-a", before.merged, root]);
				applyPlainly(tar, root);
				expect(snapshot(root)).toEqual(expected);
			}
			const whole = place.make("whole");
			applyPlainly(diff(place, { form: "trees", to: two.merged }).tar, whole);
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
	const subject = { form: "upper", upper, lowers: [base], xattrPrefix } as const;
	expect(names(diff(place, subject).tar)).toEqual([]);
	shell(
		merged,
		"rm d/a gone; echo b > d/b; rm -r opq; mkdir opq; touch opq/n; ln d/b d-link; touch -r same .",
	);
	expect(names(diff(place, subject).tar)).toEqual([
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
	const link = readMembers(diff(place, subject).tar).find(({ entry }) => entry.type === "hardlink");
	expect(link?.entry.linkPath.toString()).toBe("d/b");
});

test("what a layer cannot hold is left out with a warning", () => {
	using place = new Workplace();
	const upper = place.make("upper");
	shell(
		upper,
		"mkdir .wh.d; touch .wh.d/x .wh.f kept; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'",
	);
	const subject = { form: "upper", upper, lowers: [], xattrPrefix } as const;
	const { tar, result } = diff(place, subject);
	expect(names(tar)).toEqual(["./", "kept"]);
	expect(result.warnings.join("\n")).toMatch(/"\.wh\.d" .*\n"\.wh\.f" .*\n"s" is left out: a socket/);
	expect(names(diff(place, { form: "trees", to: upper }).tar)).toEqual(["./", "kept"]);
	expect(names(diff(place, { form: "trees", from: place.make("empty"), to: upper }).tar)).toEqual([
		"./",
		"kept",
	]);
});

test("holes cost nothing in the tar unless they are to be expanded", () => {
	using place = new Workplace();
	const upper = place.make("upper");
	shell(upper, "truncate -s 40M big; printf end >> big");
	const subject = { form: "upper", upper, lowers: [], xattrPrefix } as const;
	expect(diff(place, subject).tar.length).toBeLessThan(20_000);
	const expanded = diff(place, subject, { expandHoles: true });
	expect(expanded.tar.length).toBeGreaterThan(40 << 20);
	expect(expanded.result.contentSizeBytes).toBe((40 << 20) + 3);
});

test("host ids become container ids, and one that has none is an error with the file's name", () => {
	using place = new Workplace();
	const upper = place.make("upper");
	shell(upper, "touch f; chown 100005:100000 . f");
	const ranges = [{ containerId: 0, hostId: 100_000, size: 10 }];
	const subject = { form: "upper", upper, lowers: [], xattrPrefix } as const;
	const { tar } = diff(place, subject, { idMaps: { uids: ranges, gids: ranges } });
	expect(readMembers(tar).map(({ entry }) => [entry.uid, entry.gid])).toEqual([
		[5, 0],
		[5, 0],
	]);
	shell(upper, "chown 7 f");
	expect(() => diff(place, subject, { idMaps: { uids: ranges, gids: ranges } })).toThrow(/"f"/);
});
