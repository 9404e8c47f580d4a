/** The job that makes the image of a chain of packed layers. */
import { fdatasyncSync } from "node:fs";
import { writeImage } from "../../erofs/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { ImageRequest, ImageResult } from "../jobs/job-contract.ts";
import { asLamellaError } from "../system-failure.ts";
import { mergeLayers } from "./merge-layers.ts";

const CREATE_FLAGS = linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL | linux.O_NOFOLLOW;
const FILE_MODE = 0o400;

/**
 * Writes the image to the new file `target`, and flushes that. Equal layers give equal bytes.
 * @throws {LamellaError} `ECORRUPT` for a damaged index, `ENOTSUPPORTED` for layers that no image holds, `ENOSPACE`,
 * `EABORTED`, `ESYSTEM`
 */
export function makeImage({ layers, target }: ImageRequest, context: JobContext): ImageResult {
	const { tree, devices } = mergeLayers(layers, context);
	const image = writeImage(tree, { devices });
	try {
		const fd = linux.openat(linux.AT_FDCWD, target, CREATE_FLAGS, FILE_MODE);
		try {
			linux.write(fd, image);
			fdatasyncSync(fd);
		} finally {
			linux.close(fd);
		}
	} catch (error) {
		throw asLamellaError(error, "write", () => target);
	}
	return { entries: tree.entryCount, sizeBytes: image.length };
}
