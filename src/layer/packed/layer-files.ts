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

/** What is known of a file of a layer. */
export type FileIdentity = Pick<DeviceIdentity, "sizeBytes" | "mtimeNs">;

/**
 * Opens a file of a layer, and makes sure that it is the one that its index is of.
 * @throws {LamellaError} `ECORRUPT` where it is missing, or its size or time is another
 */
export function openLayerFile(file: string, identity: FileIdentity): number {
	let fd: number;
	try {
		fd = linux.openat(linux.AT_FDCWD, file, linux.O_RDONLY | linux.O_NOFOLLOW);
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT", "ELOOP")) lookAtLayerFile(file, identity);
		throw asLamellaError(error, "open", () => file);
	}
	const problem = problemOf(linux.fstat(fd), identity);
	if (problem === undefined) return fd;
	linux.close(fd);
	throw damaged(file, problem);
}

/** As `openLayerFile`, for callers that do not read it now. @throws {LamellaError} `ECORRUPT` */
export function lookAtLayerFile(file: string, identity: FileIdentity): void {
	const problem = problemOf(linux.tryFstatat(linux.AT_FDCWD, file), identity);
	if (problem !== undefined) throw damaged(file, problem);
}

function problemOf(stat: linux.Stat | undefined, { sizeBytes, mtimeNs }: FileIdentity): string | undefined {
	if (stat === undefined) return "is missing";
	if (linux.isSymlink(stat)) return "was replaced by a symbolic link";
	if (stat.sizeBytes !== sizeBytes) return `has ${stat.sizeBytes} bytes, and ${sizeBytes} came in`;
	if (linux.isRegular(stat) && stat.mtimeNs === mtimeNs) return undefined;
	return "was changed, replaced, or copied without its time, since its layer came in";
}

function damaged(file: string, why: string): LamellaError {
	return new LamellaError("ECORRUPT", `"${file}" ${why}; import its image again`, {
		path: file,
	});
}

/** What an index says of layer.tar and of layer.data, which is not there where it is empty. */
export function identitiesOf(header: LayerIndexHeader): readonly [tar: DeviceIdentity, data: DeviceIdentity] {
	return [
		{ isData: false, sizeBytes: header.tarSizeBytes, mtimeNs: header.tarMtimeNs },
		{ isData: true, sizeBytes: header.dataSizeBytes, mtimeNs: header.dataMtimeNs },
	];
}

/** The layer's files as devices of an image, in the order of the table; an empty file is none. */
export function layerDevices(directory: string, header: LayerIndexHeader): readonly LayerDevice[] {
	const { diffId } = header;
	return identitiesOf(header)
		.filter(({ sizeBytes }) => sizeBytes > 0)
		.map((identity) => ({
			...identity,
			path: path.join(directory, identity.isData ? DATA_FILE : TAR_FILE),
			tag: deviceTag(diffId, identity),
		}));
}
