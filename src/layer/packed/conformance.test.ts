/** Packed layers show what layers applied to trees show, and are refused where those are. */
import { rmSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type ErrorCode, isLamellaError } from "../../errors/index.ts";
import type { Applied } from "../apply/layer-receiver.ts";
import { changesOf } from "../diff/changes.ts";
import { diffSize } from "../diff/diff.ts";
import { diffToFile } from "../testing/diff-to-file.ts";
import { editTwice, upperSubject } from "../testing/edited-layer.ts";
import { mutate, randomMutations } from "../testing/mutated-tar.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { packTar, tarOf, withPackedMount } from "../testing/packed-layers.ts";
import { randomEdits } from "../testing/random-edits.ts";
import { randomLayers } from "../testing/random-members.ts";
import { randomTree } from "../testing/random-tree.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import { applyTar, quietContext } from "../testing/tar-of.ts";

const LONG = process.env.LAMELLA_TEST_LONG === "1";
const LONG_MS = 3_600_000;

type Snapshot = ReturnType<typeof snapshotTree>;

/** What ext4 can say, in seconds. */
const EXT4_TIMES = { min: -(2n ** 31n), max: 2n ** 34n - 2n ** 31n - 1n };

/**
 * Without link sets, which overlayfs has only within a layer. Times that nobody stated are those of now in a tree and 0 in
 * a packed layer, and those that the tree's filesystem cannot hold are its nearest.
 */
function comparable(tree: Snapshot, startedNs: bigint): Snapshot {
	const nodes = Object.entries(tree).map(([name, { links: _, ...node }]) => {
		const timeNs = BigInt(node.mtimeNs);
		const isNow = timeNs >= startedNs && timeNs < startedNs + 600_000_000_000n;
		if (isNow || timeNs === 0n) return [name, { ...node, mtimeNs: "unstated" }] as const;
		const seconds = timeNs / 1_000_000_000n - (timeNs % 1_000_000_000n < 0n ? 1n : 0n);
		const isFar = seconds <= EXT4_TIMES.min || seconds >= EXT4_TIMES.max;
		return [name, isFar ? { ...node, mtimeNs: seconds < 0n ? "long ago" : "far ahead" } : node] as const;
	});
	return Object.fromEntries(nodes);
}

/** The code that it was refused with. */
function refusal(apply: () => void): ErrorCode | undefined {
	try {
		apply();
		return undefined;
	} catch (error) {
		if (isLamellaError(error)) return error.code;
		throw error;
	}
}

/**
 * What an apply tells in every form. Times are clamped by a tree's filesystem only, and default ACLs are set there only
 * of what is left in the end.
 */
function tellings({ contentSizeBytes, entries, warnings }: Applied): unknown {
	const kinds = warnings
		.filter(({ kind, xattr }) => kind !== "time" && xattr !== "system.posix_acl_default")
		.map(({ kind, xattr = "", count, path }) => `${kind} ${xattr} ${count} ${path}`);
	return { contentSizeBytes, entries, warnings: kinds.sort() };
}

/** Makes a chain of the tars (bottom first) in both forms; a tar that is refused is left out of both. */
function compareForms(tars: readonly Buffer[]): void {
	using place = new Workplace();
	const startedNs = BigInt(Date.now() - 20) * 1_000_000n;
	const trees: string[] = [];
	const packed: string[] = [];
	for (const tar of tars) {
		const tree = place.make("tree");
		const pack = place.make("packed");
		const told: { tree?: unknown; packed?: unknown } = {};
		const ofTree = refusal(() => {
			told.tree = tellings(applyTar({ directory: tree, lowers: trees, shareInodes: false }, [tar]));
		});
		const ofPacked = refusal(() => {
			told.packed = tellings(packTar(pack, packed, tar));
		});
		// Each form has limits of its own: xattrs over a block of ext4, addresses of an image.
		const isLimit = ofTree === "EXATTR" || ofPacked === "ENOTSUPPORTED";
		if (!isLimit) expect(ofPacked === undefined).toBe(ofTree === undefined);
		if (ofTree === undefined && ofPacked === undefined) {
			expect(told.packed).toEqual(told.tree);
			trees.unshift(tree);
			packed.unshift(pack);
		} else for (const directory of [tree, pack]) rmSync(directory, { recursive: true });
	}
	const [tree, ...treesBelow] = trees;
	const [layer, ...lowers] = packed;
	if (tree === undefined || layer === undefined) return;
	const changes = changesOf({ form: "packed", layer, lowers }, quietContext);
	expect(changes).toEqual(changesOf(upperSubject(tree, treesBelow), quietContext));
	const { merged } = place.mount(trees);
	const expected = comparable(snapshotTree(merged, { ignoreHoles: true }), startedNs);
	place.unmount(merged);
	const found = withPackedMount(place, packed, (image) => snapshotTree(image, { ignoreHoles: true }));
	expect(comparable(found, startedNs)).toEqual(expected);
}

test(
	"layers of random members are refused and shown alike as trees and packed",
	() => {
		const property = fc.property(randomLayers(), (layers) => compareForms(layers.map(tarOf)));
		fc.assert(property, { numRuns: LONG ? 10_000 : 100 });
	},
	LONG_MS,
);

test(
	"mutated tars are refused and shown alike as trees and packed",
	() => {
		const property = fc.property(randomLayers(2, 6), fc.array(randomMutations()), (layers, mutations) => {
			compareForms(layers.map((members, i) => mutate(tarOf(members), mutations[i] ?? [])));
		});
		fc.assert(property, { numRuns: LONG ? 20_000 : 150 });
	},
	LONG_MS,
);

test("edits in a container, packed layer over packed layer, show what was edited, and tell the same changes", () => {
	const edited = fc.property(randomTree(2), randomEdits(), randomEdits(), (tree, first, second) => {
		using place = new Workplace();
		const layers = editTwice(place, tree, first, second);
		const [subject] = layers.subjects;
		if (subject.form !== "upper") throw new Error("it is the upper's");
		const [one, base] = subject.lowers;
		if (one === undefined || base === undefined) throw new Error("there are two lowers");
		const subjects = [
			{ form: "trees", to: base } as const,
			{ ...subject, upper: one, lowers: [base] },
			subject,
		];
		const packed: string[] = [];
		for (const of of subjects) {
			const directory = place.make("packed");
			const { tar } = diffToFile(place, of, { skipUnsupported: true });
			const { contentSizeBytes } = packTar(directory, packed, tar);
			expect(contentSizeBytes).toBe(diffSize(of, quietContext));
			packed.unshift(directory);
		}
		const expected = snapshotTree(layers.edited.merged, { ignoreHoles: true });
		const found = withPackedMount(place, packed, (image) => snapshotTree(image, { ignoreHoles: true }));
		expect(comparable(found, 0n)).toEqual(comparable(expected, 0n));
		const [layer = "", ...lowers] = packed;
		expect(changesOf({ form: "packed", layer, lowers }, quietContext)).toEqual(
			changesOf(subject, quietContext),
		);
	});
	fc.assert(edited, { numRuns: LONG ? 500 : 25, endOnFailure: true });
});
