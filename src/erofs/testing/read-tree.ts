/** An image read back into what `makeRandomTree` expects. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { escapePath } from "../../errors/index.ts";
import { type ImageEntry, readImage } from "../index.ts";
import type { ExpectedFile, RandomTree } from "./random-tree.ts";

/** By path in latin1; `inode` is the number in the image. */
export function readTree(image: Uint8Array, contents: readonly Buffer[]): Map<string, ExpectedFile> {
	const files = new Map<string, ExpectedFile>();
	const paths = new Map<ImageEntry, string>();
	for (const entry of readImage(image)) {
		const name = Buffer.from(entry.name).toString("latin1");
		const above = entry.parent === undefined ? undefined : paths.get(entry.parent);
		const path = above === undefined || above === "" ? name : `${above}/${name}`;
		paths.set(entry, path);
		const { inode } = entry;
		const from = inode.deviceOffsetBytes;
		const content = contents[inode.device - 1]?.subarray(from, from + inode.sizeBytes) ?? Buffer.alloc(0);
		files.set(path, {
			...{ mode: inode.mode, uid: inode.uid, gid: inode.gid, links: inode.links, rdev: inode.rdev },
			...{ mtimeSeconds: inode.mtimeSeconds, mtimeNanoseconds: inode.mtimeNanoseconds },
			...{ content, device: inode.device, deviceOffsetBytes: from },
			xattrs: inode.xattrs.map(({ name, value }) => ({ name: Buffer.from(name), value: Buffer.from(value) })),
			target: inode.target === undefined ? undefined : Buffer.from(inode.target),
			inode: inode.nid,
		});
	}
	return files;
}

/** The first few differences between two such maps, in words; empty where they say the same of the same paths. */
export function differences(actual: Map<string, ExpectedFile>, expected: RandomTree["expected"]): string[] {
	const found: string[] = [];
	for (const path of new Set([...actual.keys(), ...expected.keys()])) {
		const is = actual.get(path);
		const wanted = expected.get(path);
		const name = escapePath(Buffer.from(path, "latin1")).slice(-80);
		if (is === undefined || wanted === undefined)
			found.push(`${name}: ${is === undefined ? "missing" : "extra"}`);
		else if (describe(is) !== describe(wanted))
			found.push(`${name}: ${describe(is)}\n not ${describe(wanted)}`);
	}
	const group = (files: ReadonlyMap<string, ExpectedFile>): string[] =>
		[...Map.groupBy(files.keys(), (path) => files.get(path)?.inode).values()]
			.map((paths) => paths.sort().join("\0"))
			.sort();
	if (found.length === 0 && group(actual).join("\n") !== group(expected).join("\n"))
		found.push("other hard links");
	return found.slice(0, 5);
}

function describe(file: ExpectedFile): string {
	const { device, deviceOffsetBytes, gid, links, mode, mtimeNanoseconds, mtimeSeconds, rdev, uid } = file;
	return JSON.stringify({
		...{ mode: mode.toString(8), uid, gid, links, mtimeSeconds, mtimeNanoseconds, rdev },
		...{ device, deviceOffsetBytes, content: brief(file.content) },
		target: file.target === undefined ? undefined : brief(file.target),
		xattrs: file.xattrs.map(({ name, value }) => `${Buffer.from(name).toString()}=${brief(value)}`),
	});
}

function brief(bytes: Uint8Array): string {
	return `${bytes.length} bytes of ${createHash("sha256").update(bytes).digest("hex").slice(0, 8)}`;
}
