/** fsync of a file or directory, on a thread of Node's pool. */
import { open } from "node:fs/promises";

export async function flush(file: string): Promise<void> {
	const handle = await open(file, "r");
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}
