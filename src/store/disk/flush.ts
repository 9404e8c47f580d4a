/** fsync of a file or directory, on a thread of Node's pool. */
import { closeSync, fsync, openSync } from "node:fs";
import { promisify } from "node:util";

const sync = promisify(fsync);

export async function flush(file: string): Promise<void> {
	// The file was just made or changed, so opening it reads nothing from the disk: that takes less time than asking a thread.
	const fd = openSync(file, "r");
	try {
		await sync(fd);
	} finally {
		closeSync(fd);
	}
}
