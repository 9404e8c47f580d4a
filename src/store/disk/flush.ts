/** fsync of a file or directory, on a thread of Node's pool. */
import { closeSync, fsync, openSync } from "node:fs";
import { promisify } from "node:util";

const sync = promisify(fsync);

export async function flush(file: string): Promise<void> {
	// Whoever flushes has just made or changed it, so opening reads nothing: that takes less than asking a thread to.
	const fd = openSync(file, "r");
	try {
		await sync(fd);
	} finally {
		closeSync(fd);
	}
}
