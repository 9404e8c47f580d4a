/** Writes an image as an OCI layout directory: made beside its place, flushed, and renamed when it is whole. */
import fs from "node:fs";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import type { ExportResult } from "../contract.ts";
import { checkAborted } from "../failure.ts";
import type { Export } from "./export-image.ts";
import { writeLayerBlobs } from "./layer-blobs.ts";
import { layoutOf } from "./layout.ts";
import { asideName, syncDirectory } from "./output-file.ts";

/** @throws {LamellaError} `EEXISTS` where something is in the way; what a diff throws; errors of the filesystem */
export async function exportDirectory(exported: Export, output: string): Promise<ExportResult> {
	const target = path.resolve(output);
	await refuseOccupied(target);
	const aside = path.join(path.dirname(target), asideName(target));
	try {
		await fs.promises.mkdir(path.join(aside, "blobs", "sha256"), { recursive: true });
		const layers = await writeLayerBlobs(exported, aside);
		const { members, result } = layoutOf(exported, layers);
		const made = new Set(layers.filter(({ isKept }) => !isKept).map(({ path }) => path));
		let sizeBytes = 0;
		for (const member of members) {
			checkAborted(exported.options.signal, "export");
			const place = path.join(aside, member.name);
			if ("bytes" in member) {
				await fs.promises.writeFile(place, member.bytes, { flush: true });
				sizeBytes += member.bytes.length;
			} else {
				if (made.has(member.path)) await fs.promises.rename(member.path, place);
				else await copyFlushed(member.path, place);
				sizeBytes += member.sizeBytes;
			}
		}
		// Blobs that another layer had already stand beside under their first names.
		for (const leftover of made) await fs.promises.rm(leftover, { force: true });
		for (const directory of ["blobs/sha256", "blobs", "."]) await syncDirectory(path.join(aside, directory));
		// An empty directory may be replaced; anything else that came in the meantime makes this fail.
		await fs.promises.rename(aside, target);
		await syncDirectory(path.dirname(target));
		return { ...result, sizeBytes };
	} catch (error) {
		await fs.promises.rm(aside, { recursive: true, force: true });
		throw error;
	}
}

/** By a reflink where the filesystem has them. */
async function copyFlushed(from: string, to: string): Promise<void> {
	await fs.promises.copyFile(from, to, fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE);
	await fs.promises.chmod(to, 0o644);
	const file = await fs.promises.open(to, "r");
	try {
		await file.sync();
	} finally {
		await file.close();
	}
}

async function refuseOccupied(target: string): Promise<void> {
	let names: string[];
	try {
		names = await fs.promises.readdir(target);
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT") return;
		if (code === "ENOTDIR")
			throw new LamellaError("EEXISTS", `${target} is in the way: it is not a directory`);
		throw error;
	}
	if (names.length > 0) {
		throw new LamellaError("EEXISTS", `directory ${target} is not empty; remove it or choose another name`);
	}
}
