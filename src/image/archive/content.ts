/**
 * Named files of an image archive or layout directory, wherever they lie. What they mean is for image/import to say.
 */
import type { Digest } from "../../layer/index.ts";

/** Bytes of one file: `sizeBytes` from `offset` of the file at `path` (which stays valid until the content is closed). */
export interface Located {
	readonly path: string;
	readonly offset: number;
	readonly sizeBytes: number;
}

export interface ImageContent extends AsyncDisposable {
	/** For people: the archive's or directory's path, or "standard input". */
	readonly description: string;
	/** What images get as repository where the content names only a tag. */
	readonly repository?: string | undefined;
	/**
	 * The file of that name (`blobs/sha256/…`), links followed within the content. Undefined where there is none.
	 * @throws {LamellaError} `EARCHIVE` where it is there but cannot be used (not a regular file, a loop of links)
	 */
	find(name: string): Located | undefined;
	/** Its bytes. @throws {LamellaError} `EARCHIVE` where it is missing, or larger than `maxBytes` */
	read(name: string, maxBytes: number): Buffer;
}

/** Where the OCI layout keeps a blob. */
export function blobName(digest: Digest): string {
	return `blobs/${digest.replace(":", "/")}`;
}
