/**
 * What the driver does with one packed layer: its files are read, linked and flushed as they are, for nobody ever writes them.
 * Their images are chain-image.ts's affair.
 */
import { constants, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { copyFile, link } from "node:fs/promises";
import path from "node:path";
import { isLamellaError } from "../../errors/index.ts";
import type { RunOptions } from "../../jobs/index.ts";
import { type DiffSubject, lookAtLayerFiles, type Usage } from "../../layer/index.ts";
import type { Checked, LayerJobRunner, LayerPlace, LayerProblem, PreparedApply } from "../driver.ts";
import { PACKED } from "../form.ts";
import { dataOf, imageOf, indexOf, tarOf } from "../place.ts";
import { ownTar } from "./own-tar.ts";

type Directory = Pick<LayerPlace, "directory">;
const BLOCK_BYTES = 512;

/** The layer's files; its image is none of them, for it can be made again. */
export function packedFilesOf(layer: Directory): string[] {
	return [tarOf(layer), indexOf(layer), dataOf(layer)].filter((file) => existsSync(file));
}

export function packedUsage(layer: Directory): Usage {
	const files = packedFilesOf(layer);
	const blocks = files.map((file) => statSync(file).blocks);
	return { sizeBytes: blocks.reduce((sum, each) => sum + each * BLOCK_BYTES, 0), inodes: files.length };
}

/** Where a tar over packed layers is applied, so that it becomes one more. */
export function packedTarget(staged: string, chain: readonly Directory[]): PreparedApply {
	const lowers = chain.map(({ directory }) => directory);
	return {
		form: PACKED,
		target: { form: "packed", directory: staged, lowers },
		[Symbol.asyncDispose]: () => Promise.resolve(),
	};
}

export function packedSubject(layer: Directory, chain: readonly Directory[]): DiffSubject {
	return { form: "packed", layer: layer.directory, lowers: chain.map(({ directory }) => directory) };
}

/** Fills `staged` with the layer's files, by links where the filesystem takes them. */
export async function copyPacked(staged: string, layer: Directory): Promise<void> {
	for (const file of packedFilesOf(layer)) {
		const copy = path.join(staged, path.basename(file));
		await link(file, copy).catch(() => copyFile(file, copy, constants.COPYFILE_FICLONE));
	}
}

/** A look at the layer's files. @throws {LamellaError} `ECORRUPT` */
export function lookAtPacked(layer: Pick<LayerPlace, "directory" | "diffId">): void {
	lookAtLayerFiles(layer.directory);
	ownTar(layer);
}

/** Moves the files of a layer that was applied in `staged` into the layer's directory; the index last, since it tells of the others. */
export function placePacked(staged: string, layer: Directory, moved: () => void): void {
	const from = { directory: staged };
	for (const of of [tarOf, dataOf, indexOf]) {
		if (existsSync(of(from))) renameSync(of(from), of(layer));
		else rmSync(of(layer), { force: true });
		moved();
	}
}

/** What a look at the layer's files, and at its image where there is one, finds wrong. */
export function problemsOfPacked(layer: LayerPlace): LayerProblem[] {
	const missing = [tarOf(layer), indexOf(layer)].filter((file) => !existsSync(file));
	if (missing.length > 0) {
		return missing.map((file) => ({ kind: "content-missing", path: file, message: `${file} is missing` }));
	}
	try {
		lookAtPacked(layer);
	} catch (error) {
		if (!isLamellaError(error, "ECORRUPT")) throw error;
		return [{ kind: "content-damaged", path: error.path ?? layer.directory, message: error.message }];
	}
	const image = imageOf(layer);
	if (statSync(image, { throwIfNoEntry: false })?.isFile() !== false) return [];
	return [{ kind: "derived-damaged", path: image, message: `${image} is not a file` }];
}

/** Compares the layer's tar with its digests and its index, and its image, where there is one, with what it is made of. */
export async function checkPackedLayer(
	jobs: LayerJobRunner,
	layer: LayerPlace,
	chain: readonly Directory[],
	options?: RunOptions,
): Promise<Checked> {
	const damaged = await jobs.run("checkPacked", { layer: layer.directory }, options);
	const content = damaged.map((message): LayerProblem => {
		return { kind: "content-damaged", path: layer.directory, message };
	});
	const image = imageOf(layer);
	if (content.length > 0 || !existsSync(image)) return { isVerified: true, problems: content };
	const layers = [layer, ...chain].map((each) => each.directory);
	const differs = await jobs.run("checkImage", { layers, image }, options);
	const derived = differs.map((message): LayerProblem => {
		return { kind: "derived-damaged", path: image, message };
	});
	return { isVerified: true, problems: derived };
}
