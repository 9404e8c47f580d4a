/** Where the data of a sparse file lies, by SEEK_DATA and SEEK_HOLE (lseek(2)). */
import * as linux from "../linux/index.ts";
import type { DataExtent } from "../tar/index.ts";

const BLOCK_BYTES = 512;

/**
 * The pieces of an open regular file that hold data, ascending; undefined where it has no holes. A file whose
 * blocks cover its size is not asked at all.
 */
export function dataExtents(fd: number, stat: linux.Stat): DataExtent[] | undefined {
	const { sizeBytes, blocks } = stat;
	if (sizeBytes === 0 || blocks * BLOCK_BYTES >= sizeBytes) return undefined;
	const extents: DataExtent[] = [];
	let end = 0;
	while (end < sizeBytes) {
		const start = linux.seekData(fd, end);
		if (start === undefined || start >= sizeBytes) break;
		end = Math.min(linux.seekHole(fd, start), sizeBytes);
		extents.push({ offset: start, sizeBytes: end - start });
	}
	const [only] = extents;
	const whole = extents.length === 1 && only?.offset === 0 && only.sizeBytes === sizeBytes;
	return whole ? undefined : extents;
}
