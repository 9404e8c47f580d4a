/**
 * The files of a packed layer, and opening them.
 *
 *     layer.tar     the layer's uncompressed tar as it came
 *     layer.data    the content of sparse files, whose pieces a tar keeps without the holes; absent where there is none
 *     layer.index   what a merge needs to know of every entry (index-file.ts)
 */
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import { asLamellaError } from "../system-failure.ts";
import { type DeviceIdentity, deviceTag } from "./device-tag.ts";
import type { LayerIndexHeader } from "./index-file.ts";

export const TAR_FILE = "layer.tar";
export const DATA_FILE = "layer.data";
export const INDEX_FILE = "layer.index";

/** A further device of an image: one file of a packed layer. */
export interface LayerDevice extends DeviceIdentity {
	readonly path: string;
	/** What the image's table says of it. */
	readonly tag: string;
}

/**
 * Opens a file of a layer, and makes sure that it is the one that its index is of.
 * @throws {LamellaError} `ECORRUPT` where it is missing, or its size or time is another
 */
export function openLayerFile(file: string, sizeBytes: number, mtimeNs: bigint): number {
	const wrong = (why: string): LamellaError =>
		new LamellaError("ECORRUPT", `"${file}" ${why}; remove the layer and import it again`, { path: file });
	let fd: number;
	try {
		fd = linux.openat(linux.AT_FDCWD, file, linux.O_RDONLY | linux.O_NOFOLLOW);
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT")) throw wrong("is missing");
		if (linux.isSystemError(error, "ELOOP")) throw wrong("was replaced by a symbolic link");
		throw asLamellaError(error, "open", () => file);
	}
	const stat = linux.fstat(fd);
	if (linux.isRegular(stat) && stat.sizeBytes === sizeBytes && stat.mtimeNs === mtimeNs) return fd;
	linux.close(fd);
	throw wrong(
		stat.sizeBytes === sizeBytes
			? "was changed, replaced, or copied without its time, since its layer came in"
			: `has ${stat.sizeBytes} bytes, and ${sizeBytes} came in`,
	);
}

/** The layer's files as devices of an image, in the order of the table; an empty file is none. */
export function layerDevices(directory: string, header: LayerIndexHeader): readonly LayerDevice[] {
	const { diffId } = header;
	const tar = { isData: false, sizeBytes: header.tarSizeBytes, mtimeNs: header.tarMtimeNs };
	const data = { isData: true, sizeBytes: header.dataSizeBytes, mtimeNs: header.dataMtimeNs };
	return [tar, data]
		.filter(({ sizeBytes }) => sizeBytes > 0)
		.map((identity) => ({
			...identity,
			path: path.join(directory, identity.isData ? DATA_FILE : TAR_FILE),
			tag: deviceTag(diffId, identity),
		}));
}
