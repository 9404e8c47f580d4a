/** Checks of packed layers: whether their files are still what they were when the layer came in. */
import { createHash } from "node:crypto";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { writeImage } from "../../erofs/index.ts";
import { isLamellaError, type LamellaError } from "../../errors/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import { TarReader } from "../../tar/index.ts";
import { OwnerMapper } from "../apply/entry-owner.ts";
import type { CheckImageRequest } from "../jobs/job-contract.ts";
import { asLamellaError } from "../system-failure.ts";
import { type LayerIndex, readIndex, verifyIndex } from "./index-file.ts";
import {
	DATA_FILE,
	INDEX_FILE,
	identitiesOf,
	lookAtLayerFile,
	openLayerFile,
	TAR_FILE,
} from "./layer-files.ts";
import { LayerIndexer } from "./layer-indexer.ts";
import { mergeLayers } from "./merge-layers.ts";
import { chunksOf } from "./packed-diff.ts";

/**
 * What is wrong with a packed layer, a sentence each; nothing where all is well. Reads all of layer.tar: its digest, and
 * what a fresh index of it would say.
 * @throws {LamellaError} `EABORTED`, `ESYSTEM`
 */
export function checkPacked(layer: string, context: JobContext): string[] {
	return problemsOf(() => {
		const index = readIndex(layer);
		return new LayerCheck(layer, index, context).run();
	});
}

/**
 * A look at the files of a packed layer by what its index says of them; only the index is read.
 * @throws {LamellaError} `ECORRUPT` where the index is missing or damaged, or a file is not the one that came in
 */
export function lookAtLayerFiles(layer: string): void {
	const [tar, data] = identitiesOf(verifyIndex(layer));
	lookAtLayerFile(path.join(layer, TAR_FILE), tar);
	if (data.sizeBytes > 0) lookAtLayerFile(path.join(layer, DATA_FILE), data);
}

/**
 * Whether the image in a file is the one that its layers (directories, top first) give.
 * @throws {LamellaError} `EABORTED`, `ESYSTEM`
 */
export function checkImage({ layers, image }: CheckImageRequest, context: JobContext): string[] {
	return problemsOf(() => {
		const { tree, devices } = mergeLayers(layers, context);
		const expected = writeImage(tree, { devices });
		return sameAsFile(image, expected, context)
			? []
			: [`"${image}" is not what its layers give; unmount it and remove it: it is made again`];
	});
}

function problemsOf(check: () => string[]): string[] {
	try {
		return check();
	} catch (error) {
		if (!isLamellaError(error, "ECORRUPT")) throw error;
		return [error.message];
	}
}

/** What a damaged tar is refused for: first its digest is to be known. */
function refusalOf(read: () => void): LamellaError | undefined {
	try {
		read();
		return undefined;
	} catch (error) {
		if (!isLamellaError(error) || error.code === "EABORTED" || error.code === "ESYSTEM") throw error;
		return error;
	}
}

class LayerCheck {
	readonly #layer: string;
	readonly #index: LayerIndex;
	readonly #context: JobContext;
	#dataDiffers = false;

	constructor(layer: string, index: LayerIndex, context: JobContext) {
		this.#layer = layer;
		this.#index = index;
		this.#context = context;
	}

	run(): string[] {
		const [tar, data] = identitiesOf(this.#index);
		const tarFd = openLayerFile(path.join(this.#layer, TAR_FILE), tar);
		try {
			if (data.sizeBytes === 0) return this.#read(tarFd, undefined);
			const dataFd = openLayerFile(path.join(this.#layer, DATA_FILE), data);
			try {
				return this.#read(tarFd, dataFd);
			} finally {
				linux.close(dataFd);
			}
		} catch (error) {
			throw asLamellaError(error, "check", () => this.#layer);
		} finally {
			linux.close(tarFd);
		}
	}

	#read(tarFd: number, dataFd: number | undefined): string[] {
		const index = this.#index;
		const hash = createHash("sha256");
		const indexer = new LayerIndexer({
			owners: new OwnerMapper(index.idMaps),
			context: this.#context,
			hasLowers: index.needsLowers,
			writeData: (chunk, position) => this.#compareData(dataFd, chunk, position),
		});
		const reader = new TarReader(indexer);
		let refusal: LamellaError | undefined;
		let doneBytes = 0;
		for (const chunk of chunksOf(tarFd, index.tarSizeBytes, this.#context)) {
			hash.update(chunk);
			refusal ??= refusalOf(() => reader.write(chunk));
			doneBytes += chunk.length;
			this.#context.progress(doneBytes);
		}
		refusal ??= refusalOf(() => reader.end());
		const digest = `sha256:${hash.digest("hex")}`;
		if (digest !== index.diffId) {
			return [`"${this.#pathOf(TAR_FILE)}" has the digest ${digest}, and ${index.diffId} came in`];
		}
		if (refusal !== undefined) return [refusal.message];
		const problems: string[] = [];
		if (this.#dataDiffers) problems.push(`"${this.#pathOf(DATA_FILE)}" does not have what the tar has`);
		const { entries, xattrSets, dataSizeBytes } = indexer;
		const same =
			Buffer.compare(entries.recordBytes, index.entries.recordBytes) === 0 &&
			Buffer.compare(entries.textBytes, index.entries.textBytes) === 0 &&
			isDeepStrictEqual(xattrSets, index.xattrSets) &&
			dataSizeBytes === index.dataSizeBytes;
		if (!same) problems.push(`"${this.#pathOf(INDEX_FILE)}" is not what the tar gives`);
		return problems;
	}

	#compareData(dataFd: number | undefined, chunk: Uint8Array, position: number): void {
		const found = Buffer.allocUnsafe(chunk.length);
		let done = 0;
		while (dataFd !== undefined && done < chunk.length) {
			const count = linux.pread(dataFd, found, done, chunk.length - done, position + done);
			if (count === 0) break;
			done += count;
		}
		if (done < chunk.length || Buffer.compare(found, chunk) !== 0) this.#dataDiffers = true;
	}

	#pathOf(name: string): string {
		return path.join(this.#layer, name);
	}
}

function sameAsFile(file: string, expected: Uint8Array, context: JobContext): boolean {
	try {
		const fd = linux.openat(linux.AT_FDCWD, file, linux.O_RDONLY | linux.O_NOFOLLOW);
		try {
			if (linux.fstat(fd).sizeBytes !== expected.length) return false;
			let at = 0;
			for (const chunk of chunksOf(fd, expected.length, context)) {
				if (Buffer.compare(chunk, expected.subarray(at, at + chunk.length)) !== 0) return false;
				at += chunk.length;
			}
			return at === expected.length;
		} finally {
			linux.close(fd);
		}
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT")) return false;
		throw asLamellaError(error, "check", () => file);
	}
}
