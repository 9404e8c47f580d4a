/**
 * Owns the check of what an image stands on: the files of a chain, opened in the order of the image's device table. Each is
 * compared with what the table says of it, since the kernel would read wrong bytes without a word.
 */
import { statSync } from "node:fs";
import { imageHeadBytes, readDevices } from "../../erofs/index.ts";
import { escapePath, isLamellaError, LamellaError } from "../../errors/index.ts";
import {
	diffIdDigits,
	type FileIdentity,
	lookAtLayerFile,
	openLayerFile,
	readDeviceTag,
	type TaggedDevice,
} from "../../layer/index.ts";
import * as linux from "../../linux/index.ts";
import type { LayerPlace } from "../driver.ts";
import { dataOf, imageOf, tarOf } from "../place.ts";
import { ownTar } from "./own-tar.ts";

/** A packed layer and those below it, nearest first: never empty. */
export type PackedChain = readonly [LayerPlace, ...LayerPlace[]];

export interface OpenDevices extends Disposable {
	readonly fds: readonly number[];
}

/**
 * Opens the devices of the image of `chain` (nearest first).
 * @throws {LamellaError} `ECORRUPT` naming the file that is missing, cut short, changed, or another layer's
 */
export function openDevices(chain: PackedChain): OpenDevices {
	const fds: number[] = [];
	const close = (): void => {
		for (const fd of fds.splice(0)) linux.close(fd);
	};
	try {
		eachDevice(chain, (file, identity) => fds.push(openLayerFile(file, identity)));
	} catch (error) {
		close();
		throw error;
	}
	return { fds, [Symbol.dispose]: close };
}

/**
 * As openDevices, for an image that is mounted already: it has them open. One call of the kernel for each.
 * @throws {LamellaError} `ECORRUPT`
 */
export function lookAtDevices(chain: PackedChain): void {
	eachDevice(chain, lookAtLayerFile);
}

/** Compares the table of the image of `chain` with the layers, and calls `visit` with each file and what it is to be. */
function eachDevice(chain: PackedChain, visit: (file: string, identity: FileIdentity) => void): void {
	const image = imageOf(chain[0]);
	const table = readTable(image, chain.length);
	let next = 0;
	for (const layer of chain.toReversed()) {
		const tar = table[next];
		// An empty file is no device.
		if (tar?.isData !== false) {
			if (statSync(tarOf(layer)).size > 0) throw notOfThisChain(image);
		} else {
			visit(tarOf(layer), tar);
			next += 1;
			if (layer.diffId !== undefined && tar.diffIdDigits !== diffIdDigits(layer.diffId)) {
				ownTar(layer);
				throw notOfThisChain(image);
			}
		}
		const data = table[next];
		if (data?.isData === true) {
			visit(dataOf(layer), data);
			next += 1;
		}
	}
	if (next !== table.length) throw notOfThisChain(image);
}

function readTable(image: string, layers: number): readonly TaggedDevice[] {
	let fd = -1;
	try {
		fd = linux.openat(linux.AT_FDCWD, image, linux.O_RDONLY | linux.O_NOFOLLOW);
		// A layer has one device or two.
		const head = Buffer.allocUnsafe(imageHeadBytes(2 * layers));
		const { sizeBytes } = linux.fstat(fd);
		return readDevices(head.subarray(0, linux.read(fd, head)), sizeBytes).map(({ tag }) => {
			const identity = readDeviceTag(tag);
			if (identity === undefined) throw notOfThisChain(image);
			return identity;
		});
	} catch (error) {
		const isAbout = isLamellaError(error, "ECORRUPT") && error.path === undefined;
		if (!isAbout && !linux.isSystemError(error)) throw error;
		throw unusable(image, `cannot be used: ${error.message}`, error);
	} finally {
		if (fd !== -1) linux.close(fd);
	}
}

function notOfThisChain(image: string): LamellaError {
	return unusable(image, "is not the image of this layer and those below it");
}

function unusable(image: string, why: string, cause?: unknown): LamellaError {
	const path = escapePath(Buffer.from(image));
	return new LamellaError("ECORRUPT", `${path} ${why}; delete it, and it is made again`, { path, cause });
}
