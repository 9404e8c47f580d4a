// Puts the command into dist/bin: few files, since Node takes about half a millisecond for every module that it loads. They stay
// readable, and commands stay apart. Threads and the native part are not in it: src/linux/dist-file.ts finds them.
import { chmodSync, rmSync } from "node:fs";
import path from "node:path";
import { rolldown } from "rolldown";

const root = path.dirname(import.meta.dirname);
const dir = path.join(root, "dist/bin");
rmSync(dir, { recursive: true, force: true });
const bundle = await rolldown({
	input: { lamella: path.join(root, "src/cli/main.ts") },
	platform: "node",
	// Packages stay packages.
	external: /^[^./]/,
});
await bundle.write({
	dir,
	format: "esm",
	sourcemap: true,
	entryFileNames: "[name].js",
	chunkFileNames: "[name]-[hash].js",
});
chmodSync(path.join(dir, "lamella.js"), 0o755);
