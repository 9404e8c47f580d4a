/**
 * The members of an archive that can be read at any offset: headers are read, payloads are passed over.
 */
import { LamellaError } from "../errors/index.ts";
import type { TarEntry } from "./entry.ts";
import type { TarLimits } from "./limits.ts";
import { TarReader } from "./reader.ts";

/** As fs.readSync with its file bound: reads up to `length` bytes at `position`; 0 at the end. */
export type ReadAt = (buffer: Buffer, offset: number, length: number, position: number) => number;

export interface TarMember {
	readonly entry: TarEntry;
	/** Where the content's stored bytes begin in the archive. */
	readonly payloadOffset: number;
	/** How many there are; for a sparse file fewer than `entry.sizeBytes`. */
	readonly storedSizeBytes: number;
}

const WINDOW_BYTES = 16 << 10;

/**
 * The members of an archive in order; reads headers only, so a large archive takes a few reads a member.
 * @throws {LamellaError} `ETAR` as TarReader; what `readAt` throws.
 */
export function* tarMembers(readAt: ReadAt, limits: Partial<TarLimits> = {}): Generator<TarMember> {
	const found: TarMember[] = [];
	const reader: TarReader = new TarReader(
		{
			entry: (entry, payloadOffset) => {
				const storedSizeBytes = reader.skippableBytes;
				found.push({
					entry,
					payloadOffset,
					storedSizeBytes: entry.type === "file" ? storedSizeBytes : 0,
				});
			},
			data: () => {},
			entryEnd: () => {},
		},
		limits,
	);
	const window = Buffer.allocUnsafe(WINDOW_BYTES);
	while (!reader.ended) {
		const length = readAt(window, 0, WINDOW_BYTES, reader.offset);
		if (length === 0) break;
		reader.write(window.subarray(0, length));
		yield* found;
		found.length = 0;
		for (let skip = reader.skippableBytes; skip > 0; skip = reader.skippableBytes) {
			// The last byte is read, so that a truncated archive is noticed.
			if (skip > 1) reader.skip(skip - 1);
			if (readAt(window, 0, 1, reader.offset) === 0) {
				reader.end();
				throw new LamellaError("ETAR", "the archive is truncated");
			}
			reader.write(window.subarray(0, 1));
		}
	}
	reader.end();
}
