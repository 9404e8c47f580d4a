/** Where the data of a sparse file lies, by SEEK_DATA and SEEK_HOLE (lseek(2)). */
import * as linux from "../../linux/index.ts";
import type { DataExtent } from "../../tar/index.ts";

const BLOCK_BYTES = 512;
/** More pieces than this are joined over their smallest holes: a file with a hole at every other block is no use. */
const EXTENTS_MAX = 16_384;

/**
 * The pieces of an open regular file that hold data, ascending; undefined where it has no holes. A file whose
 * blocks cover its size is not asked at all.
 */
export function dataExtents(fd: number, stat: linux.Stat): DataExtent[] | undefined {
	const { sizeBytes, blocks } = stat;
	if (sizeBytes === 0 || blocks * BLOCK_BYTES >= sizeBytes) return undefined;
	const extents: DataExtent[] = [];
	let holeMinBytes = 1;
	let end = 0;
	while (end < sizeBytes) {
		const start = linux.seekData(fd, end);
		if (start === undefined || start >= sizeBytes) break;
		end = Math.min(linux.seekHole(fd, start), sizeBytes);
		append(extents, { offset: start, sizeBytes: end - start }, holeMinBytes);
		while (extents.length > EXTENTS_MAX) {
			holeMinBytes = Math.max(holeMinBytes * 2, 4096);
			for (const extent of extents.splice(0)) append(extents, extent, holeMinBytes);
		}
	}
	const [only] = extents;
	const whole = extents.length === 1 && only?.offset === 0 && only.sizeBytes === sizeBytes;
	return whole ? undefined : extents;
}

/** Adds a piece, as part of the last one where the hole between them is shorter than `holeMinBytes`. */
function append(extents: DataExtent[], extent: DataExtent, holeMinBytes: number): void {
	const last = extents.at(-1);
	if (last === undefined || extent.offset - (last.offset + last.sizeBytes) >= holeMinBytes)
		extents.push(extent);
	else
		extents[extents.length - 1] = {
			offset: last.offset,
			sizeBytes: extent.offset + extent.sizeBytes - last.offset,
		};
}
