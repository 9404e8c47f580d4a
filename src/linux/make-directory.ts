/** Owns making a directory with the parents that are missing. */
import { existsSync, mkdirSync, statSync } from "node:fs";
import path from "node:path";
import { LamellaError } from "../errors/index.ts";

/**
 * Makes `directory` and its missing parents, each with `mode` (the umask applies). A directory that exists keeps its mode and
 * owner. Node's recursive mkdir would do, but it never ends where a parent takes no directories, as in procfs.
 * @returns whether `directory` was made, so that it is new and empty
 * @throws {LamellaError} `ECONFIG` where something else is in the way or a parent takes no directories; else Node's
 * error of mkdir(2)
 */
export function makeDirectory(directory: string, mode: number): boolean {
	try {
		mkdirSync(directory, { mode });
		return true;
	} catch (error) {
		const code: unknown = error instanceof Error ? Reflect.get(error, "code") : undefined;
		if (code === "EEXIST") {
			if (isDirectory(directory)) return false;
			throw new LamellaError("ECONFIG", `${directory} is in the way: it has to be a directory`, {
				path: directory,
				cause: error,
			});
		}
		if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
		const parent = path.dirname(directory);
		if (isDirectory(parent)) {
			throw new LamellaError(
				"ECONFIG",
				`${directory} cannot be made: ${parent} takes no directories; choose another place`,
				{ path: directory, cause: error },
			);
		}
		makeDirectory(parent, mode);
	}
	return makeDirectory(directory, mode);
}

function isDirectory(directory: string): boolean {
	return existsSync(directory) && statSync(directory).isDirectory();
}
