/** For tests: layers in packed form, and the mount of a chain of them. */
import { createHash } from "node:crypto";
import path from "node:path";
import { TarReader, TarWriter } from "../../tar/index.ts";
import type { Applied } from "../apply/layer-receiver.ts";
import type { DiffId } from "../digest/digest.ts";
import { makeImage } from "../packed/image-job.ts";
import { readIndexHeader } from "../packed/index-file.ts";
import { layerDevices } from "../packed/layer-files.ts";
import { PackedApplier, type PackedApplierOptions } from "../packed/packed-applier.ts";
import { diffToFile } from "./diff-to-file.ts";
import { mountErofs } from "./mount-erofs.ts";
import type { Workplace } from "./overlay-mount.ts";
import { type Member, quietContext } from "./tar-of.ts";

/** Packs a tar into the empty `directory` over packed lowers (top first). */
export function packTar(
	directory: string,
	lowers: readonly string[],
	tar: Uint8Array,
	options: Partial<PackedApplierOptions> = {},
): Applied {
	using applier = new PackedApplier(
		{ form: "packed", directory, lowers },
		{ context: quietContext, ...options },
	);
	const reader = new TarReader(applier);
	reader.write(tar);
	applier.bytes(tar);
	reader.end();
	const diffId = `sha256:${createHash("sha256").update(tar).digest("hex")}` as DiffId;
	return applier.finish({ diffId, tarSizeBytes: tar.length });
}

export function packMembers(
	directory: string,
	lowers: readonly string[],
	members: readonly Member[],
): Applied {
	return packTar(directory, lowers, tarOf(members));
}

/** A packed layer without others below, that shows what the directory `tree` holds. */
export function packTree(place: Workplace, tree: string): string {
	const directory = place.make("packed");
	packTar(directory, [], diffToFile(place, { form: "trees", to: tree }).tar);
	return directory;
}

/** The members as a tar. */
export function tarOf(members: readonly Member[]): Buffer {
	const chunks: Buffer[] = [];
	const writer = new TarWriter((chunk) => chunks.push(Buffer.from(chunk)));
	for (const member of members) {
		const [entry, data] = "type" in member ? [member, Buffer.alloc(0)] : member;
		writer.entry(entry);
		writer.data(data);
		writer.entryEnd();
	}
	writer.finish();
	return Buffer.concat(chunks);
}

/** Calls `see` with the path where the image of the layers (top first) is mounted. */
export function withPackedMount<T>(
	place: Workplace,
	layers: readonly string[],
	see: (merged: string) => T,
): T {
	const home = place.make("image");
	const target = path.join(home, "root.erofs");
	makeImage({ layers, target }, quietContext);
	const devices = [...layers].reverse().flatMap((layer) => layerDevices(layer, readIndexHeader(layer)));
	const merged = place.make("merged");
	using _ = mountErofs(
		merged,
		target,
		devices.map((device) => device.path),
	);
	return see(merged);
}
