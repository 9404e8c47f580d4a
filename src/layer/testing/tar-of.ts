/** For tests: tars from short descriptions, and applying them. */
import type { IdMaps } from "../../idmap/index.ts";
import { type TarEntry, TarReader } from "../../tar/index.ts";
import { LayerApplier } from "../apply/apply.ts";
import type { Applied } from "../apply/layer-receiver.ts";
import type { TreeTarget } from "../contract.ts";

export const quietContext = { checkAborted: (): void => {}, progress: (): void => {} };

/** An entry for a path; what is not said is a small regular file of root's. A path with "/" at its end is a directory. */
export function entryOf(path: string | Buffer, fields: Partial<TarEntry> = {}): TarEntry {
	const bytes = typeof path === "string" ? Buffer.from(path) : path;
	const isDirectory = bytes.at(-1) === 0x2f;
	return {
		path: bytes,
		type: isDirectory ? "directory" : "file",
		mode: isDirectory ? 0o755 : 0o644,
		uid: 0,
		gid: 0,
		sizeBytes: 0,
		mtimeNs: 1_600_000_000_000_000_001n,
		linkPath: Buffer.alloc(0),
		deviceMajor: 0,
		deviceMinor: 0,
		xattrs: [],
		...fields,
	};
}

/** A regular file with content. */
export function fileOf(path: string, content: string, fields: Partial<TarEntry> = {}): [TarEntry, Buffer] {
	const data = Buffer.from(content);
	return [entryOf(path, { ...fields, sizeBytes: data.length }), data];
}

export function linkOf(path: string, target: string, type: "symlink" | "hardlink"): TarEntry {
	return entryOf(path, { type, mode: 0o777, linkPath: Buffer.from(target) });
}

export type Member = TarEntry | readonly [TarEntry, Buffer];

/** Hands the members to an applier, as a TarReader would. */
export function applyMembers(
	target: Partial<TreeTarget> & { readonly directory: string },
	members: readonly Member[],
	options: { readonly idMaps?: IdMaps } = {},
): Applied {
	using applier = new LayerApplier(targetOf(target), { ...options, context: quietContext });
	for (const member of members) {
		const [entry, data] = "type" in member ? [member, Buffer.alloc(0)] : member;
		applier.entry(entry);
		if (data.length > 0) applier.data(data, entry.dataExtents?.[0]?.offset ?? 0);
		applier.entryEnd();
	}
	return applier.finish();
}

/** Applies the bytes of a tar. */
export function applyTar(
	target: Partial<TreeTarget> & { readonly directory: string },
	chunks: readonly Uint8Array[],
): Applied {
	using applier = new LayerApplier(targetOf(target), { context: quietContext });
	const reader = new TarReader(applier);
	for (const chunk of chunks) reader.write(chunk);
	reader.end();
	return applier.finish();
}

function targetOf(target: Partial<TreeTarget> & { readonly directory: string }): TreeTarget {
	return { form: "overlay", lowers: [], xattrPrefix: "trusted.overlay.", shareInodes: true, ...target };
}
