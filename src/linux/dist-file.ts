/** Owns where the package's compiled files are: threads and the native part are loaded from there. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { LamellaError } from "../errors/index.ts";

/**
 * The URL of `dist/<file>`, for a module of the package at `from` (its `import.meta.url`): compiled, bundled into one file,
 * or, in tests, source in src/.
 * @throws {LamellaError} `ENATIVE` where there is no such file
 */
export function distFile(from: string, file: string): URL {
	// The last one: the package may lie below a directory of such a name itself.
	const root = /^.*\/(?:src|dist)\//.exec(from)?.[0] ?? from;
	const url = new URL(`${root.replace(/\/src\/$/, "/dist/")}${file}`);
	if (existsSync(fileURLToPath(url))) return url;
	throw new LamellaError(
		"ENATIVE",
		`${fileURLToPath(url)} is missing; in a checkout run "npm run build", else install the package "lamella" again on a supported machine (x64, arm64)`,
	);
}
