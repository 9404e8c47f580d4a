import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import type { IdMaps } from "../../idmap/index.ts";
import * as linux from "../../linux/index.ts";
import { writeDiff } from "../diff/diff.ts";
import { diffToFile } from "../testing/diff-to-file.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { packMembers, packTar, tarOf, withPackedMount } from "../testing/packed-layers.ts";
import { readMembers } from "../testing/plain-apply.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import { applyTar, entryOf, fileOf, linkOf, type Member, quietContext } from "../testing/tar-of.ts";
import { TAR_FILE } from "./layer-files.ts";

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

const CAPABILITY = Buffer.from("0100000200200000000000000000000000000000", "hex");
const MEMBERS: readonly Member[] = [
	entryOf("d/", { uid: 5, gid: 6 }),
	fileOf("d/f", "content", { xattrs: [{ name: Buffer.from("security.capability"), value: CAPABILITY }] }),
	[
		entryOf("sparse", { sizeBytes: 300_000, dataExtents: [{ offset: 100_000, sizeBytes: 4 }] }),
		Buffer.from("data"),
	],
	{ ...linkOf("d/h", "d/f", "hardlink"), uid: 900_000 },
	entryOf("d/.wh.x", { uid: 900_000 }),
];
const maps = (hostId: number): IdMaps => {
	const ranges = [{ containerId: 0, hostId, size: 65_536 }];
	return { uids: ranges, gids: ranges };
};

function packedSubject(layer: string) {
	return { form: "packed", layer, lowers: [] } as const;
}

test("the diff of a packed layer is its tar, byte for byte, into a file and into a pipe", () => {
	using place = new Workplace();
	const layer = place.make("layer");
	// Behind the end of the archive, some tars have more.
	const tar = Buffer.concat([tarOf(MEMBERS), Buffer.alloc(700, 1)]);
	const { contentSizeBytes } = packTar(layer, [], tar);
	const expected = { diffId: sha256(tar), tarSizeBytes: tar.length, contentSizeBytes, warnings: [] };
	const subject = packedSubject(layer);
	expect(diffToFile(place, subject)).toEqual({ tar, result: expected });
	const { readFd, writeFd } = linux.pipe2();
	linux.setPipeSize(writeFd, 1 << 16);
	expect(writeDiff({ subject, fd: writeFd }, quietContext)).toEqual(expected);
	linux.close(writeFd);
	expect(fs.readFileSync(readFd).equals(tar)).toBe(true);
	linux.close(readFd);
	const appended = path.join(place.make("file"), "tar");
	const fd = fs.openSync(appended, "a");
	expect(writeDiff({ subject, fd }, quietContext)).toEqual(expected);
	fs.closeSync(fd);
	expect(fs.readFileSync(appended).equals(tar)).toBe(true);
});

test("a layer that came through ID maps goes back through them as it was, and through others as theirs", () => {
	using place = new Workplace();
	const layer = place.make("layer");
	const tar = tarOf(MEMBERS);
	packTar(layer, [], tar, { idMaps: maps(100_000) });
	withPackedMount(place, [layer], (merged) => {
		const seen = snapshotTree(merged);
		expect([seen.d?.owner, seen["d/f"]?.owner]).toEqual(["100005:100006", "100000:100000"]);
		expect(seen["d/f"]?.xattrs?.["security.capability"]).toMatch(/a0860100$/);
	});
	const subject = packedSubject(layer);
	expect(diffToFile(place, subject, { idMaps: maps(100_000) }).tar.equals(tar)).toBe(true);
	const owners = (idMaps?: IdMaps): unknown[] =>
		readMembers(diffToFile(place, subject, { idMaps }).tar).map(({ entry }) => [entry.uid, entry.gid]);
	expect(owners()).toEqual([
		[100_005, 100_006],
		[100_000, 100_000],
		[100_000, 100_000],
		[0, 100_000],
		[900_000, 0],
	]);
	expect(owners(maps(99_995))).toEqual([
		[10, 11],
		[5, 5],
		[5, 5],
		[0, 5],
		[900_000, 0],
	]);
	expect(() => owners(maps(500_000))).toThrow(expect.objectContaining({ code: "EINVALID" }));
});

test("times are cut and holes filled where that is asked for, and the rest stays", () => {
	using place = new Workplace();
	const layer = place.make("layer");
	packMembers(layer, [], MEMBERS);
	const options = { wholeSeconds: true, expandHoles: true };
	const { tar, result } = diffToFile(place, packedSubject(layer), options);
	expect(result).toMatchObject({ diffId: sha256(tar), tarSizeBytes: tar.length });
	const members = readMembers(tar);
	expect(members.map(({ entry }) => entry.mtimeNs % 1_000_000_000n)).toEqual([0n, 0n, 0n, 0n, 0n]);
	expect(members.map(({ entry }) => entry.dataExtents)).toEqual(Array(5).fill(undefined));
	const directory = place.make("tree");
	applyTar({ directory }, [tar]);
	const content = Buffer.alloc(300_000);
	content.write("data", 100_000);
	expect(fs.readFileSync(path.join(directory, "sparse")).equals(content)).toBe(true);
});

test("a tar that is not the one that came in is not sent", () => {
	using place = new Workplace();
	const layer = place.make("layer");
	packMembers(layer, [], MEMBERS);
	const file = path.join(layer, TAR_FILE);
	const content = fs.readFileSync(file);
	fs.rmSync(file);
	expect(() => diffToFile(place, packedSubject(layer))).toThrow(
		expect.objectContaining({ code: "ECORRUPT", path: file }),
	);
	fs.writeFileSync(file, content);
	expect(() => diffToFile(place, packedSubject(layer))).toThrow(/was changed, replaced/);
});
