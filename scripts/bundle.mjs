// Puts the command into dist/bin: few files, since Node takes about half a millisecond for every module that it loads. They stay
// readable, and commands stay apart. Threads and the native part are not in it: src/linux/dist-file.ts finds them.
import { chmodSync, rmSync } from "node:fs";
import path from "node:path";
import { rolldown } from "rolldown";

/**
 * Takes Node's builtin modules without `import`, which reads every export of one: reading `promises` of node:fs loads
 * streams and more, 3 ms where an empty process takes 27. Lines stay what they are, and so does the source map.
 */
const takeBuiltins = {
	name: "take-builtins",
	renderChunk(code) {
		const taken = (what, id) => `const ${what} = process.getBuiltinModule("${id}");`;
		const taking = code
			.replace(/^import \{ (.+) \} from "(node:[^"]+)";$/gm, (_, names, id) =>
				taken(`{ ${names.replaceAll(" as ", ": ")} }`, id),
			)
			.replace(/^import (\w+) from "(node:[^"]+)";$/gm, (_, name, id) => taken(name, id))
			.replace(/^import (\w+), (\{ .+ \}) from "(node:[^"]+)";$/gm, (_, name, names, id) =>
				[taken(name, id), `const ${names.replaceAll(" as ", ": ")} = ${name};`].join(" "),
			);
		const left = /^import .*"node:.*$/m.exec(taking);
		if (left !== null) throw new Error(`this import of a builtin module is of a new kind: ${left[0]}`);
		return { code: taking, map: null };
	},
};

/** Loads a file itself in place of one that only hands its exports on, which rolldown makes for what is imported by `import()`. */
const loadDirectly = {
	name: "load-directly",
	generateBundle(_, files) {
		for (const [fileName, { code }] of Object.entries(files)) {
			const [, target] = /^export \{ [\w, ]+ \} from "(.+)";\s*$/.exec(code ?? "") ?? [];
			// Where an export has another name there, the file stays.
			if (target === undefined || code.includes(" as ")) continue;
			for (const other of Object.values(files)) {
				if (other.type === "chunk")
					other.code = other.code.replaceAll(`import("./${fileName}")`, `import("${target}")`);
			}
			delete files[fileName];
		}
	},
};

const root = path.dirname(import.meta.dirname);
const dir = path.join(root, "dist/bin");
rmSync(dir, { recursive: true, force: true });
const bundle = await rolldown({
	input: { lamella: path.join(root, "src/cli/main.ts") },
	platform: "node",
	// Packages stay packages.
	external: /^[^./]/,
	// A file that only an index.ts names is not loaded with it: no file of ours does anything but say what it has.
	treeshake: { moduleSideEffects: false },
	plugins: [takeBuiltins, loadDirectly],
});
await bundle.write({
	dir,
	format: "esm",
	sourcemap: true,
	entryFileNames: "[name].js",
	chunkFileNames: "[name]-[hash].js",
	minifyInternalExports: false,
	codeSplitting: {
		// One file each, with all that it imports: what every command loads first, what those of the command line do, and what
		// lists load of the store.
		groups: [
			{ name: "run-command", priority: 3, test: /\/src\/cli\/run-command\.ts$/ },
			{
				name: "command-line",
				priority: 2,
				test: /\/src\/cli\/(program|command|json-shapes|output\/(amounts|table|text))\.ts$/,
			},
			{ name: "reading", priority: 1, test: /\/src\/api\/reading\// },
		],
	},
});
chmodSync(path.join(dir, "lamella.js"), 0o755);
