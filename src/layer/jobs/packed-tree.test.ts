import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import * as linux from "../../linux/index.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { makeTree, randomTree } from "../testing/random-tree.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import { quietContext } from "../testing/tar-of.ts";
import { usageOf } from "../tree/usage.ts";
import { packTree, unpackTree } from "./packed-tree.ts";

const BYTES_MAX = 1 << 20;

test("a tree that is unpacked is the same to the last attribute, and packs into the same bytes", () => {
	let packedTrees = 0;
	fc.assert(
		fc.property(randomTree(), (tree) => {
			using place = new Workplace();
			const from = place.make("from");
			makeTree(from, { ...tree, links: [] });
			const packed = packTree(from, BYTES_MAX);
			// One with holes is left to the filesystem.
			if (packed === undefined) return;
			packedTrees += 1;
			const to = path.join(place.directory, "to");
			unpackTree(packed.bytes, to);
			expect(snapshotTree(to)).toEqual(snapshotTree(from));
			expect(packTree(to, packed.bytes.length)?.bytes.equals(packed.bytes)).toBe(true);
			expect(packed.usage).toEqual(usageOf([from], quietContext));
		}),
		{ numRuns: 40, endOnFailure: true },
	);
	expect(packedTrees).toBeGreaterThan(5);
});

test("overlayfs's own xattrs and whiteouts are part of it", () => {
	using place = new Workplace();
	const from = place.make("from");
	linux.mknodat(linux.AT_FDCWD, path.join(from, "gone"), linux.S_IFCHR, 0, 0);
	fs.mkdirSync(path.join(from, "opaque"));
	linux.lsetxattrAt(linux.AT_FDCWD, path.join(from, "opaque"), "trusted.overlay.opaque", Buffer.from("y"));
	const packed = packTree(from, BYTES_MAX);
	const to = path.join(place.directory, "to");
	unpackTree(packed?.bytes ?? Buffer.alloc(0), to);
	expect(snapshotTree(to)).toEqual(snapshotTree(from));
	expect(snapshotTree(to).opaque?.xattrs).toHaveProperty(["trusted.overlay.opaque"]);
});

test("what is not small, or what only the filesystem can keep, is not packed", () => {
	using place = new Workplace();
	const many = place.make("many");
	for (let i = 0; i < 65; i++) fs.mkdirSync(path.join(many, String(i)));
	expect(packTree(many, BYTES_MAX)).toBeUndefined();
	fs.rmdirSync(path.join(many, "0"));
	expect(packTree(many, BYTES_MAX)?.usage.inodes).toBe(65);

	const large = place.make("large");
	fs.writeFileSync(path.join(large, "file"), Buffer.alloc(5000, 1));
	const bytes = packTree(large, BYTES_MAX)?.bytes.length ?? 0;
	expect(bytes).toBeGreaterThan(5000);
	expect(packTree(large, bytes)).toBeDefined();
	expect(packTree(large, bytes - 1)).toBeUndefined();

	const linked = place.make("linked");
	fs.writeFileSync(path.join(linked, "a"), "a");
	fs.linkSync(path.join(linked, "a"), path.join(linked, "b"));
	expect(packTree(linked, BYTES_MAX)).toBeUndefined();

	const sparse = place.make("sparse");
	fs.writeFileSync(path.join(sparse, "file"), "");
	fs.truncateSync(path.join(sparse, "file"), 100_000);
	expect(packTree(sparse, BYTES_MAX)).toBeUndefined();
});

test("bytes that make no sense are refused, and reach nothing outside", () => {
	using place = new Workplace();
	const from = place.make("from");
	fs.writeFileSync(path.join(from, "file"), "content");
	const bytes = packTree(from, BYTES_MAX)?.bytes ?? Buffer.alloc(0);
	const to = path.join(place.directory, "to");
	expect(() => unpackTree(bytes.subarray(0, bytes.length - 1), to)).toThrow(/cut off/);
	const json = JSON.parse(bytes.toString("utf8", 4, 4 + bytes.readUInt32BE())) as {
		children: [string, unknown][];
	};
	for (const name of ["..", ".", "", "../file", "a/b", "a\0b"]) {
		const [entry] = json.children;
		const text = Buffer.from(JSON.stringify({ ...json, children: [[name, entry?.[1]]] }));
		const head = Buffer.alloc(4);
		head.writeUInt32BE(text.length);
		const wrong = Buffer.concat([head, text, Buffer.from("content")]);
		expect(() => unpackTree(wrong, path.join(place.directory, `wrong${name.length}`))).toThrow(/name/);
		fs.rmSync(path.join(place.directory, `wrong${name.length}`), { recursive: true });
	}
	expect(fs.readdirSync(place.directory).sort()).toEqual(["0-from", "to"]);
});
