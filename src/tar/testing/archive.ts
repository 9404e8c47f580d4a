/** Archives and entries for tests. */
import { type TarEntry, TarWriter } from "../index.ts";

export interface Member {
	readonly entry: TarEntry;
	readonly content: Buffer;
}

/** An empty file of root's, but for what is changed. */
export function entryOf(path: string | Buffer, changes: Partial<TarEntry> = {}): TarEntry {
	return {
		...{ path: Buffer.from(path), type: "file", mode: 0o644, uid: 0, gid: 0, sizeBytes: 0, mtimeNs: 0n },
		...{ linkPath: Buffer.alloc(0), deviceMajor: 0, deviceMinor: 0, xattrs: [], ...changes },
	};
}

export function writeArchive(members: readonly Member[], bufferSizeBytes?: number): Buffer {
	const chunks: Buffer[] = [];
	const writer = new TarWriter((chunk) => chunks.push(Buffer.from(chunk)), { bufferSizeBytes });
	for (const { entry, content } of members) {
		writer.entry(entry);
		writer.data(content);
		writer.entryEnd();
	}
	writer.finish();
	return Buffer.concat(chunks);
}
