import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Workplace } from "../testing/overlay-mount.ts";
import { packMembers } from "../testing/packed-layers.ts";
import { entryOf, fileOf, linkOf } from "../testing/tar-of.ts";
import { readIndex, readIndexHeader } from "./index-file.ts";
import { INDEX_FILE } from "./layer-files.ts";

/** A layer with something of everything, and the path of its index. */
function indexed(place: Workplace): { readonly layer: string; readonly file: string } {
	const layer = place.make("layer");
	const xattrs = [{ name: Buffer.from("user.a"), value: Buffer.from("1") }];
	packMembers(
		layer,
		[],
		[
			entryOf("./", { mode: 0o700 }),
			entryOf("d/", { xattrs }),
			fileOf("d/f", "content", { xattrs, mtimeNs: -1n }),
			linkOf("d/h", "d/f", "hardlink"),
			linkOf("l", "d/f", "symlink"),
			entryOf("d/.wh.x"),
		],
	);
	return { layer, file: path.join(layer, INDEX_FILE) };
}

test("an index says what came in", () => {
	using place = new Workplace();
	const { layer } = indexed(place);
	const { entries, xattrSets, ...header } = readIndex(layer);
	expect(readIndexHeader(layer)).toEqual({ ...header, idMaps: undefined });
	expect(header).toMatchObject({ tarEntries: 6, contentSizeBytes: 10, dataSizeBytes: 0, needsLowers: false });
	expect(entries.textBytes.toString()).toBe("dd/fd/hd/fld/fd/x");
	expect(xattrSets).toEqual([[{ name: Buffer.from("user.a"), value: Buffer.from("1") }]]);
	expect([entries.mtimeSeconds(2), entries.mtimeNanoseconds(2)]).toEqual([-1, 999_999_999]);
});

test("a damaged index is refused by name, wherever the damage is", () => {
	using place = new Workplace();
	const { layer, file } = indexed(place);
	const bytes = fs.readFileSync(file);
	fs.chmodSync(file, 0o600);
	for (let at = 0; at < bytes.length; at++) {
		const damaged = Buffer.from(bytes);
		damaged[at] = (damaged[at] ?? 0) ^ 0x41;
		fs.writeFileSync(file, damaged);
		// Of another version it says so.
		const code = at >= 8 && at < 12 ? "ENOTSUPPORTED" : "ECORRUPT";
		expect(() => readIndex(layer), `byte ${at}`).toThrow(expect.objectContaining({ code, path: file }));
	}
	for (let length = 0; length < bytes.length; length += 7) {
		fs.writeFileSync(file, bytes.subarray(0, length));
		expect(() => readIndex(layer)).toThrow(expect.objectContaining({ code: "ECORRUPT", path: file }));
	}
	fs.rmSync(file);
	expect(() => readIndexHeader(layer)).toThrow(/is missing; import its image again/);
});
